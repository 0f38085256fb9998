//! What is kept of other servers for a while, in memory: their answers, and which of their users' devices are being fetched.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use parking_lot::Mutex;
use ruma::{OwnedServerName, ServerName};
use serde::de::DeserializeOwned;

use super::{House, peers::Patience, remote_devices::Fetching, remote_presence::Heard};
use crate::{
    followers::feeds::board::FeedBoard,
    kernel::Directory,
    network::{PeerError, PeerMethod, PeerRequest},
    peer_users::PeerUser,
    room::held::HeldReceipts,
};

/// So many answers, and so many bytes of them, are kept.
const KEPT_MAX: (usize, usize) = (2_000, 16 * 1024 * 1024);

/// What the house knows of the world outside.
pub(super) struct Elsewhere {
    /// Other servers' users.
    pub(super) users: Arc<Directory<PeerUser>>,
    /// Their devices that are being fetched.
    pub(super) fetching: Fetching,
    /// Where presence is announced.
    pub(super) board: Arc<FeedBoard>,
    /// Receipts of theirs that wait for what they rest on.
    pub(super) held_receipts: Arc<HeldReceipts>,
    /// Who of them is there.
    pub(super) heard: Heard,
    answers: Mutex<Answers>,
}

/// Answers that are good for a while.
#[derive(Default)]
struct Answers {
    kept: BTreeMap<(OwnedServerName, String), Kept>,
    bytes: usize,
}

struct Kept {
    until_ms: u64,
    answer: Result<Bytes, PeerError>,
}

impl Kept {
    fn bytes(&self) -> usize {
        self.answer.as_ref().map_or(0, Bytes::len)
    }
}

impl Answers {
    fn find(
        &mut self,
        key: &(OwnedServerName, String),
        now_ms: u64,
    ) -> Option<Result<Bytes, PeerError>> {
        let kept = self.kept.get(key)?;
        if kept.until_ms > now_ms {
            return Some(kept.answer.clone());
        }
        self.remove(key);
        None
    }

    fn remove(&mut self, key: &(OwnedServerName, String)) {
        if let Some(removed) = self.kept.remove(key) {
            self.bytes -= removed.bytes();
        }
    }

    fn keep(&mut self, key: (OwnedServerName, String), kept: Kept, now_ms: u64) {
        self.remove(&key);
        let is_full = |answers: &Self| {
            answers.kept.len() >= KEPT_MAX.0 || answers.bytes + kept.bytes() > KEPT_MAX.1
        };
        if is_full(self) {
            self.kept.retain(|_, known| known.until_ms > now_ms);
            self.bytes = self.kept.values().map(Kept::bytes).sum();
        }
        if is_full(self) {
            self.kept.clear();
            self.bytes = 0;
        }
        if kept.bytes() <= KEPT_MAX.1 {
            self.bytes += kept.bytes();
            self.kept.insert(key, kept);
        }
    }
}

impl Elsewhere {
    /// Nothing is known yet.
    pub(super) fn new(
        users: Arc<Directory<PeerUser>>,
        board: Arc<FeedBoard>,
        held_receipts: Arc<HeldReceipts>,
    ) -> Self {
        Self {
            users,
            fetching: Fetching::default(),
            board,
            held_receipts,
            heard: Heard::default(),
            answers: Mutex::default(),
        }
    }
}

impl House {
    /// Asks by GET, unless the same was asked a short while ago. That a server refused is kept too, that it did not answer is not.
    pub(super) async fn ask_peer_once<T: DeserializeOwned>(
        &self,
        server: &ServerName,
        path: String,
        (patience, kept_for): (Patience, Duration),
    ) -> Result<T, PeerError> {
        let key = (server.to_owned(), path);
        let known = self.elsewhere.answers.lock().find(&key, self.env.now_ms());
        let answer = match known {
            Some(answer) => answer,
            None => {
                let request = PeerRequest {
                    destination: key.0.clone(),
                    method: PeerMethod::Get,
                    path: key.1.clone(),
                    body: None,
                    within: patience.within,
                    answer_bytes_max: patience.bytes_max,
                };
                let answer = self.env.network.ask(request).await;
                if matches!(answer, Ok(_) | Err(PeerError::Refused { .. })) {
                    let now_ms = self.env.now_ms();
                    let kept = Kept {
                        until_ms: now_ms + kept_for.as_millis() as u64,
                        answer: answer.clone(),
                    };
                    self.elsewhere.answers.lock().keep(key, kept, now_ms);
                }
                answer
            }
        };
        serde_json::from_slice(&answer?).map_err(|error| PeerError::Nonsense(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: usize) -> (OwnedServerName, String) {
        let name = OwnedServerName::try_from("far.example").unwrap();
        (name, format!("/{number}"))
    }

    fn kept(bytes: usize, until_ms: u64) -> Kept {
        Kept {
            until_ms,
            answer: Ok(Bytes::from(vec![b' '; bytes])),
        }
    }

    #[test]
    fn answers_are_kept_for_a_while_and_bounded() {
        let mut answers = Answers::default();
        answers.keep(key(1), kept(10, 5), 0);
        assert!(answers.find(&key(1), 4).is_some());
        assert!(answers.find(&key(1), 5).is_none());
        assert_eq!(answers.bytes, 0);
        for number in 0..5_000 {
            answers.keep(key(number), kept(100, 10), 0);
            assert!(answers.kept.len() <= KEPT_MAX.0);
        }
        for number in 0..40 {
            answers.keep(key(number), kept(1 << 20, 10), 0);
            assert!(answers.bytes <= KEPT_MAX.1);
        }
        let sum: usize = answers.kept.values().map(Kept::bytes).sum();
        assert_eq!(sum, answers.bytes);
        answers.keep(key(0), kept(KEPT_MAX.1 + 1, 10), 0);
        assert!(answers.find(&key(0), 0).is_none());
    }
}

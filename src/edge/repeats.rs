//! Answers to requests that clients repeat under the same name: given once more, not worked out once more.
//!
//! For old forms of requests that name a transaction although nothing in the log does. Remembered for half an hour, in memory: by each node what it has
//! answered, and where there are several, on desks too.

use std::{collections::VecDeque, future::Future, sync::Arc};

use bytes::Bytes;
use parking_lot::Mutex;
use playhouse_actors::{
    desks::{DeskKind, Put, Terms},
    house::{Desks, Places},
};
use tokio::sync::OnceCell;

use super::failure::Failure;

/// So many answers are remembered.
const ANSWERS_MAX: usize = 2_000;

/// So long.
const REMEMBERED_MS: u64 = 30 * 60 * 1000;

struct Entry {
    name: String,
    until_ms: u64,
    answer: Arc<OnceCell<Bytes>>,
}

/// Answers that were given. The oldest stand first.
#[derive(Default)]
pub(crate) struct Repeats {
    entries: Mutex<VecDeque<Entry>>,
    /// What other nodes have answered.
    desks: Option<Desks>,
}

impl Repeats {
    /// Nothing was answered by this node yet.
    pub(crate) fn new(desks: &Desks) -> Self {
        Self {
            entries: Mutex::default(),
            desks: (!desks.is_alone()).then(|| desks.clone()),
        }
    }

    /// The answer under a name: what was answered before, or what is worked out now. Refusals are not remembered.
    pub(crate) async fn once(
        &self,
        name: String,
        now_ms: u64,
        work: impl Future<Output = Result<Bytes, Failure>>,
    ) -> Result<Bytes, Failure> {
        let cell = self.cell(name.clone(), now_ms);
        let answer = async {
            match &self.desks {
                None => work.await,
                Some(desks) => among_all(desks, (&name, now_ms), work).await,
            }
        };
        cell.get_or_try_init(|| answer).await.cloned()
    }

    fn cell(&self, name: String, now_ms: u64) -> Arc<OnceCell<Bytes>> {
        let mut entries = self.entries.lock();
        while entries
            .front()
            .is_some_and(|oldest| oldest.until_ms <= now_ms || entries.len() > ANSWERS_MAX)
        {
            entries.pop_front();
        }
        if let Some(known) = entries.iter().rev().find(|entry| entry.name == name) {
            return known.answer.clone();
        }
        let answer = Arc::<OnceCell<Bytes>>::default();
        entries.push_back(Entry {
            name,
            until_ms: now_ms + REMEMBERED_MS,
            answer: answer.clone(),
        });
        answer
    }
}

/// The answer that any node has given, or what is worked out now while the others wait.
async fn among_all(
    desks: &Desks,
    (name, now_ms): (&str, u64),
    work: impl Future<Output = Result<Bytes, Failure>>,
) -> Result<Bytes, Failure> {
    let turn = format!("repeats {name}");
    let _turn = desks.lock(&turn, Places::ONE).await?;
    if let Some(known) = desks.get::<Bytes>(DeskKind::Repeats, name).await? {
        return Ok(known.value);
    }
    let answer = work.await?;
    let lying = (&answer, now_ms + REMEMBERED_MS);
    let place = (DeskKind::Repeats, name);
    match desks.put(place, lying, Terms::default()).await {
        Ok((Put::Done, _)) => {}
        Ok((put, _)) => tracing::debug!(?put, "an answer is not remembered for other nodes"),
        Err(error) => tracing::warn!(%error, "an answer is not remembered for other nodes"),
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_first_works() {
        let repeats = Repeats::default();
        let answer = async |name: &str, now_ms, text: &'static str| {
            let work = async { Ok(Bytes::from_static(text.as_bytes())) };
            repeats.once(name.to_owned(), now_ms, work).await
        };
        let refused = async { Err(Failure::not_found("no")) };
        assert!(repeats.once("a".to_owned(), 0, refused).await.is_err());
        assert_eq!(answer("a", 0, "1").await.expect("an answer"), "1");
        assert_eq!(answer("a", 1, "2").await.expect("an answer"), "1");
        assert_eq!(answer("b", 1, "3").await.expect("an answer"), "3");
        let later = answer("a", REMEMBERED_MS, "4").await;
        assert_eq!(later.expect("an answer"), "4");
    }
}

//! Users of whom everything is to be redacted.

use std::collections::VecDeque;

use imbl::OrdMap;
use playhouse_schema::record::purge::{PurgeEnded, PurgeRecord, RedactionMoved, UserRedaction};
use serde::{Deserialize, Serialize};

use super::{ENDS_MAX, PurgeError};

/// So many wait at most.
const WAITING_MAX: usize = 100;

/// So many failures are remembered of one.
const FAILED_MAX: usize = 1_000;

/// How a redaction of a user's events stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedactionStanding {
    /// What is wanted.
    pub redaction: UserRedaction,
    /// All that it has done.
    pub done: RedactionMoved,
    /// Its end, if it has come to it.
    pub ended: Option<PurgeEnded>,
}

/// All of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Redactions {
    waiting: OrdMap<String, RedactionStanding>,
    ends: VecDeque<RedactionStanding>,
}

impl Redactions {
    /// Judges a new one: a user has one at a time.
    pub(super) fn begin(&self, new: UserRedaction) -> Result<Option<PurgeRecord>, PurgeError> {
        let is_same = |other: &RedactionStanding| other.redaction.user_id == new.user_id;
        if self.waiting.values().any(is_same) {
            return Err(PurgeError::Busy);
        }
        if self.waiting.len() >= WAITING_MAX {
            return Err(PurgeError::TooMany);
        }
        Ok(Some(PurgeRecord::RedactionBegun(new)))
    }

    pub(super) fn is_waiting(&self, id: &str) -> bool {
        self.waiting.contains_key(id)
    }

    pub(super) fn get(&self, id: &str) -> Option<RedactionStanding> {
        let ended = || self.ends.iter().find(|ended| ended.redaction.id == id);
        self.waiting.get(id).or_else(ended).cloned()
    }

    pub(super) fn waiting(&self) -> Vec<RedactionStanding> {
        self.waiting.values().cloned().collect()
    }

    /// All that are remembered: those that wait, then those at their end, the newest first.
    pub(super) fn all(&self) -> impl Iterator<Item = &RedactionStanding> {
        self.waiting.values().chain(self.ends.iter().rev())
    }

    pub(super) fn begun(&mut self, redaction: &UserRedaction) {
        let standing = RedactionStanding {
            redaction: redaction.clone(),
            done: RedactionMoved::default(),
            ended: None,
        };
        self.waiting.insert(redaction.id.clone(), standing);
    }

    pub(super) fn moved(&mut self, moved: &RedactionMoved) {
        let Some(standing) = self.waiting.get_mut(&moved.id) else {
            return;
        };
        let done = &mut standing.done;
        done.rooms_done = done.rooms_done.max(moved.rooms_done);
        let left = FAILED_MAX.saturating_sub(done.failed.len());
        done.failed.extend(moved.failed.iter().take(left).cloned());
    }

    pub(super) fn ended(&mut self, ended: &PurgeEnded) {
        let Some(mut standing) = self.waiting.remove(&ended.id) else {
            return;
        };
        standing.ended = Some(ended.clone());
        self.ends.push_back(standing);
        if self.ends.len() > ENDS_MAX {
            self.ends.pop_front();
        }
    }

    pub(super) fn weight_bytes(&self) -> usize {
        self.all()
            .map(|one| 512 + one.redaction.rooms.len() * 64 + one.done.failed.len() * 128)
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redaction(id: &str, user_id: &str) -> UserRedaction {
        UserRedaction {
            id: id.to_owned(),
            user_id: user_id.to_owned(),
            rooms: vec!["!a".to_owned()],
            reason: None,
            limit: 7,
            use_admin: false,
            after_ms: None,
            before_ms: None,
            by: "@boss:b".to_owned(),
            at_ms: 5,
        }
    }

    fn begin(redactions: &mut Redactions, new: UserRedaction) -> Result<(), PurgeError> {
        if let Some(PurgeRecord::RedactionBegun(begun)) = redactions.begin(new)? {
            redactions.begun(&begun);
        }
        Ok(())
    }

    #[test]
    fn a_user_is_redacted_once_at_a_time() {
        let mut redactions = Redactions::default();
        assert_eq!(begin(&mut redactions, redaction("a", "@a:b")), Ok(()));
        let again = begin(&mut redactions, redaction("b", "@a:b"));
        assert_eq!(again, Err(PurgeError::Busy));
        redactions.moved(&RedactionMoved {
            id: "a".to_owned(),
            rooms_done: 1,
            failed: vec![("$e".to_owned(), "no".to_owned())],
        });
        let standing = redactions.get("a").expect("it waits");
        assert_eq!(
            (standing.done.rooms_done, standing.done.failed.len()),
            (1, 1)
        );
        redactions.ended(&PurgeEnded {
            id: "a".to_owned(),
            error: None,
            at_ms: 9,
        });
        assert!(!redactions.is_waiting("a") && redactions.waiting().is_empty());
        assert!(redactions.get("a").is_some_and(|one| one.ended.is_some()));
        assert_eq!(begin(&mut redactions, redaction("b", "@a:b")), Ok(()));
    }

    #[test]
    fn whoever_comes_when_too_many_wait_is_told_so() {
        let mut redactions = Redactions::default();
        for number in 0..WAITING_MAX {
            let new = redaction(&number.to_string(), &format!("@u{number}:b"));
            assert_eq!(begin(&mut redactions, new), Ok(()));
        }
        let more = begin(&mut redactions, redaction("more", "@a:b"));
        assert_eq!(more, Err(PurgeError::TooMany));
        let again = begin(&mut redactions, redaction("again", "@u0:b"));
        assert_eq!(again, Err(PurgeError::Busy));
    }
}

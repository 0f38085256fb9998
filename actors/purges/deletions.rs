//! Rooms that are to be deleted, and rooms that are kept out.

use std::collections::VecDeque;

use imbl::OrdMap;
use playhouse_schema::record::purge::{
    Deletion, DeletionMoved, PurgeEnded, PurgeRecord, RoomBlockSet,
};
use serde::{Deserialize, Serialize};

use super::{ENDS_MAX, PurgeError, WAITING_MAX};

/// So many rooms that all have forgotten wait for their time.
const FORGOTTEN_MAX: usize = 100_000;

/// So many rooms are kept out at most.
const BLOCKS_MAX: usize = 200_000;

/// How a deletion stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeletionStanding {
    /// What is wanted.
    pub deletion: Deletion,
    /// All that it has done.
    pub done: DeletionMoved,
    /// Its end, if it has come to it.
    pub ended: Option<PurgeEnded>,
}

/// How far a deletion is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeletionState {
    /// Its time has not come.
    Scheduled,
    /// It is being done, or is next.
    Active,
    /// It is done.
    Complete,
    /// It has failed.
    Failed,
}

impl DeletionStanding {
    /// How far it is.
    pub fn state(&self, now_ms: u64) -> DeletionState {
        match &self.ended {
            Some(PurgeEnded { error: Some(_), .. }) => DeletionState::Failed,
            Some(_) => DeletionState::Complete,
            None if self.deletion.due_ms > now_ms => DeletionState::Scheduled,
            None => DeletionState::Active,
        }
    }
}

/// All deletions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Deletions {
    waiting: OrdMap<String, DeletionStanding>,
    ends: VecDeque<DeletionStanding>,
}

impl Deletions {
    /// Judges a new one. Of a room that everybody has forgotten it is enough that any waits.
    pub(super) fn begin(&self, deletion: Deletion) -> Result<Option<PurgeRecord>, PurgeError> {
        let mut of_room = self.waiting.values();
        let room_id = &deletion.room_id;
        if deletion.by.is_none() {
            let waits = of_room.any(|other| other.deletion.room_id == *room_id);
            let is_full = self.waiting.len() >= FORGOTTEN_MAX;
            return Ok((!waits && !is_full).then_some(PurgeRecord::DeletionBegun(deletion)));
        }
        let is_wanted = |other: &&DeletionStanding| other.deletion.by.is_some();
        let wanted = self.waiting.values().filter(is_wanted).count();
        let waits = of_room
            .filter(is_wanted)
            .any(|other| other.deletion.room_id == *room_id);
        if waits {
            return Err(PurgeError::Busy);
        }
        if wanted >= WAITING_MAX {
            return Err(PurgeError::TooMany);
        }
        Ok(Some(PurgeRecord::DeletionBegun(deletion)))
    }

    pub(super) fn is_waiting(&self, id: &str) -> bool {
        self.waiting.contains_key(id)
    }

    pub(super) fn get(&self, id: &str) -> Option<DeletionStanding> {
        let ended = || self.ends.iter().find(|ended| ended.deletion.id == id);
        self.waiting.get(id).or_else(ended).cloned()
    }

    pub(super) fn of_room(&self, room_id: &str) -> Vec<DeletionStanding> {
        let all = self.ends.iter().chain(self.waiting.values());
        all.filter(|one| one.deletion.room_id == room_id)
            .cloned()
            .collect()
    }

    pub(super) fn waiting(&self) -> Vec<DeletionStanding> {
        self.waiting.values().cloned().collect()
    }

    /// All that are remembered: those that wait, then those at their end, the newest first.
    pub(super) fn all(&self) -> impl Iterator<Item = &DeletionStanding> {
        self.waiting.values().chain(self.ends.iter().rev())
    }

    pub(super) fn begun(&mut self, deletion: &Deletion) {
        let standing = DeletionStanding {
            deletion: deletion.clone(),
            done: DeletionMoved::default(),
            ended: None,
        };
        self.waiting.insert(deletion.id.clone(), standing);
    }

    pub(super) fn moved(&mut self, moved: &DeletionMoved) {
        let Some(standing) = self.waiting.get_mut(&moved.id) else {
            return;
        };
        let done = &mut standing.done;
        done.new_room_id = moved.new_room_id.clone().or(done.new_room_id.take());
        done.kicked.extend(moved.kicked.iter().cloned());
        done.failed.extend(moved.failed.iter().cloned());
        done.aliases.extend(moved.aliases.iter().cloned());
        done.emptied |= moved.emptied;
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
        let all = self.ends.iter().chain(self.waiting.values());
        all.map(|one| 512 + (one.done.kicked.len() + one.done.failed.len()) * 64)
            .sum()
    }
}

/// Rooms that are kept out, each with the administrator who wants that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Blocks(OrdMap<String, String>);

impl Blocks {
    /// Judges a change: recorded when it is one. Who wanted it first stays.
    pub(super) fn judge(&self, set: RoomBlockSet) -> Result<Option<PurgeRecord>, PurgeError> {
        if self.has(&set.room_id) == set.blocked {
            return Ok(None);
        }
        if set.blocked && self.0.len() >= BLOCKS_MAX {
            return Err(PurgeError::TooManyBlocks);
        }
        Ok(Some(PurgeRecord::RoomBlockSet(set)))
    }

    pub(super) fn set(&mut self, set: &RoomBlockSet) {
        if set.blocked {
            self.0.insert(set.room_id.clone(), set.by.clone());
        } else {
            self.0.remove(&set.room_id);
        }
    }

    pub(super) fn has(&self, room_id: &str) -> bool {
        self.0.contains_key(room_id)
    }

    pub(super) fn of(&self, room_id: &str) -> Option<String> {
        self.0.get(room_id).cloned()
    }

    pub(super) fn weight_bytes(&self) -> usize {
        self.0.len() * 128
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deletion(id: &str, by: Option<&str>) -> Deletion {
        Deletion {
            id: id.to_owned(),
            room_id: "!a".to_owned(),
            by: by.map(ToOwned::to_owned),
            at_ms: 5,
            due_ms: 9,
            purge: true,
            force_purge: false,
            new_room: None,
        }
    }

    fn begin(deletions: &mut Deletions, new: Deletion) -> Result<bool, PurgeError> {
        let Some(PurgeRecord::DeletionBegun(begun)) = deletions.begin(new)? else {
            return Ok(false);
        };
        deletions.begun(&begun);
        Ok(true)
    }

    #[test]
    fn a_room_is_deleted_once_at_a_time() {
        let mut deletions = Deletions::default();
        assert_eq!(begin(&mut deletions, deletion("a", None)), Ok(true));
        assert_eq!(begin(&mut deletions, deletion("b", None)), Ok(false));
        let wanted = deletion("c", Some("@boss:b"));
        assert_eq!(begin(&mut deletions, wanted.clone()), Ok(true));
        assert_eq!(begin(&mut deletions, wanted), Err(PurgeError::Busy));
        let moved = |kicked: &str, new_room_id: Option<&str>| DeletionMoved {
            id: "c".to_owned(),
            kicked: vec![kicked.to_owned()],
            new_room_id: new_room_id.map(ToOwned::to_owned),
            ..DeletionMoved::default()
        };
        deletions.moved(&moved("@a:b", Some("!new")));
        deletions.moved(&moved("@c:b", None));
        let standing = deletions.get("c").expect("it waits");
        assert_eq!(standing.state(8), DeletionState::Scheduled);
        assert_eq!(standing.state(9), DeletionState::Active);
        assert_eq!(standing.done.kicked, ["@a:b", "@c:b"]);
        assert_eq!(standing.done.new_room_id.as_deref(), Some("!new"));
        deletions.ended(&PurgeEnded {
            id: "c".to_owned(),
            error: None,
            at_ms: 10,
        });
        let of_room = deletions.of_room("!a");
        assert_eq!(of_room[0].state(8), DeletionState::Complete);
        assert_eq!((of_room.len(), deletions.waiting().len()), (2, 1));
    }

    #[test]
    fn whoever_comes_when_too_many_wait_is_told_so() {
        let mut deletions = Deletions::default();
        let of_room = |number: &str| Deletion {
            room_id: format!("!{number}"),
            ..deletion(number, Some("@boss:b"))
        };
        for number in 0..WAITING_MAX {
            let wanted = of_room(&number.to_string());
            assert_eq!(begin(&mut deletions, wanted), Ok(true));
        }
        let more = begin(&mut deletions, of_room("more"));
        assert_eq!(more, Err(PurgeError::TooMany));
        let again = Deletion {
            id: "again".to_owned(),
            ..of_room("0")
        };
        assert_eq!(begin(&mut deletions, again), Err(PurgeError::Busy));
        // Rooms that nobody remembers have a line of their own.
        assert_eq!(begin(&mut deletions, deletion("forgotten", None)), Ok(true));
    }

    #[test]
    fn a_block_is_recorded_once() {
        let mut blocks = Blocks::default();
        let set = |blocked, by: &str| RoomBlockSet {
            room_id: "!a".to_owned(),
            blocked,
            by: by.to_owned(),
            at_ms: 7,
        };
        assert_eq!(blocks.judge(set(false, "@a:b")), Ok(None));
        assert!(matches!(blocks.judge(set(true, "@a:b")), Ok(Some(_))));
        blocks.set(&set(true, "@a:b"));
        assert_eq!(blocks.judge(set(true, "@c:b")), Ok(None));
        assert_eq!(blocks.of("!a").as_deref(), Some("@a:b"));
        blocks.set(&set(false, "@c:b"));
        assert_eq!(blocks.of("!a"), None);
    }
}

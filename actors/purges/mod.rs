//! History that administrators want taken out of rooms, rooms that they want deleted, rooms that they do not want here, and users whose events they redact:
//! what was asked for, and what came of it. What is not at its end is gone on with after a restart.
//!
//! Owns who waits for whom: purges wait in the order in which they were wanted. Must not know how one is done.

mod board;
mod deletions;
mod redactions;

use std::{collections::VecDeque, sync::Arc};

pub use board::BlockBoard;
use deletions::{Blocks, Deletions};
pub use deletions::{DeletionStanding, DeletionState};
pub use redactions::RedactionStanding;
use redactions::Redactions;

use imbl::OrdMap;
use playhouse_schema::{
    address::{Entity, Position, Sequence},
    record::purge::{
        Deletion, DeletionMoved, Purge, PurgeEnded, PurgeProgress, PurgeRecord, RedactionMoved,
        RoomBlockSet, UserRedaction,
    },
};
use serde::{Deserialize, Serialize};

use crate::kernel::{Committed, Decision, Domain, Port, Resident, Unavailable};

/// So many purges wait at most, and so many deletions and redactions.
const WAITING_MAX: usize = 1_000;

/// So many ends are remembered; the oldest are forgotten beyond it.
const ENDS_MAX: usize = 1_000;

/// So many of each kind are told in one list.
const TOLD_MAX: usize = 1_000;

/// All purges: a fold of their records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Purges {
    /// By the numbers of their records: in the order in which they were wanted.
    waiting: OrdMap<Sequence, Purge>,
    ends: VecDeque<(Option<Purge>, PurgeEnded)>,
    deletions: Deletions,
    blocks: Blocks,
    redactions: Redactions,
    /// By the names of purges and deletions that are not at their ends.
    progress: OrdMap<String, PurgeProgress>,
}

/// What can be done with purges.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum PurgeCommand {
    /// One is wanted. Refused with `TooMany` while too many wait.
    Begin(Purge),
    /// It has come to its end.
    End(PurgeEnded),
    /// It has come further, or what a deletion takes out of the log.
    Progress(PurgeProgress),
    /// A room is to be deleted. Refused with `Busy` while it is being deleted, with `TooMany` while too many wait.
    Delete(Box<Deletion>),
    /// A deletion has come further.
    Move(DeletionMoved),
    /// A deletion has come to its end.
    EndDeletion(PurgeEnded),
    /// A room is wanted here no more, or again.
    SetBlock(RoomBlockSet),
    /// Everything that a user sent is to be redacted. Refused with `Busy` while that is being done, with `TooMany` while too many wait.
    Redact(Box<UserRedaction>),
    /// Such a redaction has come further.
    MoveRedaction(RedactionMoved),
    /// Such a redaction has come to its end.
    EndRedaction(PurgeEnded),
}

/// What can be asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum PurgeQuery {
    /// How one stands.
    Standing(String),
    /// How far a purge has come, or what a deletion takes out of the log.
    Progress(String),
    /// All that wait, in the order in which they were wanted.
    Waiting,
    /// How a deletion stands.
    Deletion(String),
    /// All deletions of a room that are remembered.
    DeletionsOf(String),
    /// All deletions that wait.
    DeletionsWaiting,
    /// Whether a room is kept out.
    Block(String),
    /// How a redaction of a user's events stands.
    Redaction(String),
    /// All such redactions that wait.
    RedactionsWaiting,
    /// All that waits and all ends that are remembered.
    Tasks,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PurgeAnswer {
    /// It waits, or is being done.
    Active,
    /// It has come to its end.
    Ended(PurgeEnded),
    /// How far it has come, when that is known.
    Progress(Option<PurgeProgress>),
    /// All that wait.
    Waiting(Vec<Purge>),
    /// Deletions.
    Deletions(Vec<DeletionStanding>),
    /// Who keeps the room out, if anybody does.
    Block(Option<String>),
    /// Redactions of users' events.
    Redactions(Vec<RedactionStanding>),
    /// What waits and what has ended.
    Tasks(Box<Tasks>),
}

/// What waits and what has ended, of each kind so much as fits into an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tasks {
    /// Purges of history, and their ends.
    pub purges: Vec<(Purge, Option<PurgeEnded>)>,
    /// Deletions of rooms.
    pub deletions: Vec<DeletionStanding>,
    /// Redactions of users' events.
    pub redactions: Vec<RedactionStanding>,
}

/// Why it is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum PurgeError {
    /// There is no such purge.
    #[error("unknown purge")]
    Unknown,
    /// The room is being deleted already, or the user's events redacted.
    #[error("it is going on already")]
    Busy,
    /// Too many purges wait, or deletions, or redactions.
    #[error("too many wait already")]
    TooMany,
    /// So many rooms are kept out already that no more can be.
    #[error("too many rooms are blocked")]
    TooManyBlocks,
    /// It could not be asked.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl Purges {
    fn judge(&self, command: PurgeCommand) -> Result<Option<PurgeRecord>, PurgeError> {
        match command {
            PurgeCommand::Begin(purge) => {
                if self.waiting.len() >= WAITING_MAX {
                    return Err(PurgeError::TooMany);
                }
                Ok(Some(PurgeRecord::Begun(purge)))
            }
            PurgeCommand::End(ended) => {
                let is_waiting = self.place(&ended.id).is_some();
                Ok(is_waiting.then_some(PurgeRecord::Ended(ended)))
            }
            PurgeCommand::Progress(progress) => {
                let id = &progress.id;
                let is_waiting = self.place(id).is_some() || self.deletions.is_waiting(id);
                Ok(is_waiting.then_some(PurgeRecord::Progressed(progress)))
            }
            PurgeCommand::Delete(deletion) => self.deletions.begin(*deletion),
            PurgeCommand::Move(moved) => {
                let is_waiting = self.deletions.is_waiting(&moved.id);
                Ok(is_waiting.then_some(PurgeRecord::DeletionMoved(moved)))
            }
            PurgeCommand::EndDeletion(ended) => {
                let is_waiting = self.deletions.is_waiting(&ended.id);
                Ok(is_waiting.then_some(PurgeRecord::DeletionEnded(ended)))
            }
            PurgeCommand::SetBlock(set) => self.blocks.judge(set),
            PurgeCommand::Redact(redaction) => self.redactions.begin(*redaction),
            PurgeCommand::MoveRedaction(moved) => {
                let is_waiting = self.redactions.is_waiting(&moved.id);
                Ok(is_waiting.then_some(PurgeRecord::RedactionMoved(moved)))
            }
            PurgeCommand::EndRedaction(ended) => {
                let is_waiting = self.redactions.is_waiting(&ended.id);
                Ok(is_waiting.then_some(PurgeRecord::RedactionEnded(ended)))
            }
        }
    }

    /// Under which number a purge waits.
    fn place(&self, id: &str) -> Option<Sequence> {
        let mut waiting = self.waiting.iter();
        waiting
            .find(|(_, purge)| purge.id == id)
            .map(|(sequence, _)| *sequence)
    }

    fn tell(&self, query: PurgeQuery) -> Result<PurgeAnswer, PurgeError> {
        match query {
            PurgeQuery::Standing(id) if self.place(&id).is_some() => Ok(PurgeAnswer::Active),
            PurgeQuery::Standing(id) => {
                let ended = self.ends.iter().find(|(_, ended)| ended.id == id);
                ended
                    .map(|(_, ended)| PurgeAnswer::Ended(ended.clone()))
                    .ok_or(PurgeError::Unknown)
            }
            PurgeQuery::Progress(id) => Ok(PurgeAnswer::Progress(self.progress.get(&id).cloned())),
            PurgeQuery::Waiting => Ok(PurgeAnswer::Waiting(
                self.waiting.values().cloned().collect(),
            )),
            PurgeQuery::Deletion(id) => self
                .deletions
                .get(&id)
                .map(|found| PurgeAnswer::Deletions(vec![found]))
                .ok_or(PurgeError::Unknown),
            PurgeQuery::DeletionsOf(room_id) => {
                Ok(PurgeAnswer::Deletions(self.deletions.of_room(&room_id)))
            }
            PurgeQuery::DeletionsWaiting => Ok(PurgeAnswer::Deletions(self.deletions.waiting())),
            PurgeQuery::Block(room_id) => Ok(PurgeAnswer::Block(self.blocks.of(&room_id))),
            PurgeQuery::Redaction(id) => self
                .redactions
                .get(&id)
                .map(|found| PurgeAnswer::Redactions(vec![found]))
                .ok_or(PurgeError::Unknown),
            PurgeQuery::RedactionsWaiting => Ok(PurgeAnswer::Redactions(self.redactions.waiting())),
            PurgeQuery::Tasks => Ok(PurgeAnswer::Tasks(Box::new(self.tasks()))),
        }
    }

    fn tasks(&self) -> Tasks {
        let ends = self.ends.iter().rev();
        let ends = ends.filter_map(|(purge, end)| Some((purge.clone()?, Some(end.clone()))));
        let waiting = self.waiting.values().map(|purge| (purge.clone(), None));
        Tasks {
            purges: waiting.chain(ends).take(TOLD_MAX).collect(),
            deletions: self.deletions.all().take(TOLD_MAX).cloned().collect(),
            redactions: self.redactions.all().take(TOLD_MAX).cloned().collect(),
        }
    }
}

impl Domain for Purges {
    const NAME: &'static str = "purges";

    type Record = PurgeRecord;
    type Command = PurgeCommand;
    type Reply = ();
    type Query = PurgeQuery;
    type Answer = PurgeAnswer;
    type Signal = ();
    type Error = PurgeError;
    type Live = ();
    type Context = Arc<BlockBoard>;

    fn empty(_entity: &Entity) -> Self {
        Self::default()
    }

    fn apply(&mut self, sequence: Sequence, _position: Position, record: &PurgeRecord) {
        match record {
            PurgeRecord::Begun(purge) => {
                self.waiting.insert(sequence, purge.clone());
            }
            PurgeRecord::Progressed(progress) => {
                self.progress.insert(progress.id.clone(), progress.clone());
            }
            PurgeRecord::Ended(ended) => {
                self.progress.remove(&ended.id);
                let place = self.place(&ended.id);
                let purge = place.and_then(|place| self.waiting.remove(&place));
                self.ends.push_back((purge, ended.clone()));
                if self.ends.len() > ENDS_MAX {
                    self.ends.pop_front();
                }
            }
            PurgeRecord::DeletionBegun(deletion) => self.deletions.begun(deletion),
            PurgeRecord::DeletionMoved(moved) => self.deletions.moved(moved),
            PurgeRecord::DeletionEnded(ended) => {
                self.progress.remove(&ended.id);
                self.deletions.ended(ended);
            }
            PurgeRecord::RoomBlockSet(set) => self.blocks.set(set),
            PurgeRecord::RedactionBegun(redaction) => self.redactions.begun(redaction),
            PurgeRecord::RedactionMoved(moved) => self.redactions.moved(moved),
            PurgeRecord::RedactionEnded(ended) => self.redactions.ended(ended),
        }
    }

    fn decide(
        &self,
        command: PurgeCommand,
        _board: &Arc<BlockBoard>,
    ) -> Result<Decision<Self>, PurgeError> {
        let record = self.judge(command)?;
        Ok(Decision::new(record.into_iter().collect(), ()))
    }

    fn answer(
        resident: &mut Resident<Self>,
        query: PurgeQuery,
        port: Port<PurgeAnswer, PurgeError>,
    ) {
        let _ = port.send(resident.state.tell(query));
    }

    fn committed(resident: &mut Resident<Self>, _records: &[Committed]) {
        resident.context.publish(&resident.state.blocks);
    }

    fn woken(resident: &mut Resident<Self>) {
        resident.context.publish(&resident.state.blocks);
    }

    fn weight_bytes(&self) -> usize {
        256 + (self.waiting.len() + self.ends.len() + self.progress.len()) * 256
            + self.deletions.weight_bytes()
            + self.blocks.weight_bytes()
            + self.redactions.weight_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn purge(id: &str, room_id: &str) -> PurgeCommand {
        PurgeCommand::Begin(Purge {
            id: id.to_owned(),
            room_id: room_id.to_owned(),
            up_to: 7,
            before_ms: 7,
            local_too: false,
            by: "@boss:b".to_owned(),
            at_ms: 7,
        })
    }

    fn end(id: &str) -> PurgeCommand {
        PurgeCommand::End(PurgeEnded {
            id: id.to_owned(),
            error: None,
            at_ms: 8,
        })
    }

    /// Purges, and how many records there are.
    #[derive(Default)]
    struct Book {
        purges: Purges,
        written: Sequence,
    }

    fn done(book: &mut Book, command: PurgeCommand) -> Result<(), PurgeError> {
        if let Some(record) = book.purges.judge(command)? {
            book.written += 1;
            book.purges.apply(book.written, 0, &record);
        }
        Ok(())
    }

    fn waiting(purges: &Purges) -> Vec<String> {
        match purges.tell(PurgeQuery::Waiting) {
            Ok(PurgeAnswer::Waiting(all)) => all.into_iter().map(|purge| purge.id).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn purges_of_a_room_wait_in_line() {
        let mut book = Book::default();
        for id in ["c", "a", "b"] {
            assert_eq!(done(&mut book, purge(id, "!a")), Ok(()));
        }
        let standing = |id: &str| PurgeQuery::Standing(id.to_owned());
        for id in ["a", "b", "c"] {
            assert_eq!(book.purges.tell(standing(id)), Ok(PurgeAnswer::Active));
        }
        assert_eq!(waiting(&book.purges), ["c", "a", "b"]);
        assert_eq!(done(&mut book, end("c")), Ok(()));
        assert_eq!(done(&mut book, purge("c2", "!a")), Ok(()));
        assert_eq!(waiting(&book.purges), ["a", "b", "c2"]);
        let tasks = book.purges.tasks().purges;
        let tasks: Vec<_> = tasks
            .iter()
            .map(|(purge, end)| (purge.id.as_str(), end.is_some()))
            .collect();
        assert_eq!(
            tasks,
            [("a", false), ("b", false), ("c2", false), ("c", true)]
        );
    }

    #[test]
    fn the_line_is_bounded() {
        let mut book = Book::default();
        for number in 0..WAITING_MAX {
            assert_eq!(done(&mut book, purge(&number.to_string(), "!a")), Ok(()));
        }
        for room_id in ["!a", "!b"] {
            let more = done(&mut book, purge("more", room_id));
            assert_eq!(more, Err(PurgeError::TooMany));
        }
        assert_eq!(done(&mut book, end("0")), Ok(()));
        assert_eq!(done(&mut book, purge("more", "!b")), Ok(()));
    }

    #[test]
    fn a_purge_comes_to_its_end_once() {
        let mut book = Book::default();
        let standing = |id: &str| PurgeQuery::Standing(id.to_owned());
        assert_eq!(done(&mut book, purge("one", "!a")), Ok(()));
        assert_eq!(done(&mut book, purge("two", "!b")), Ok(()));
        assert_eq!(book.purges.tell(standing("one")), Ok(PurgeAnswer::Active));
        let progress = |id: &str| PurgeProgress {
            id: id.to_owned(),
            up_to: 5,
            of: 7,
            erased: 3,
        };
        for id in ["one", "three"] {
            assert_eq!(
                done(&mut book, PurgeCommand::Progress(progress(id))),
                Ok(())
            );
        }
        let come = |id: &str| PurgeQuery::Progress(id.to_owned());
        let told = PurgeAnswer::Progress(Some(progress("one")));
        assert_eq!(book.purges.tell(come("one")), Ok(told));
        assert_eq!(
            book.purges.tell(come("three")),
            Ok(PurgeAnswer::Progress(None))
        );
        assert_eq!(waiting(&book.purges), ["one", "two"]);
        for _ in 0..2 {
            assert_eq!(done(&mut book, end("one")), Ok(()));
        }
        assert_eq!(book.purges.ends.len(), 1);
        assert!(book.purges.progress.is_empty());
        assert!(matches!(
            book.purges.tell(standing("one")),
            Ok(PurgeAnswer::Ended(_))
        ));
        assert_eq!(
            book.purges.tell(standing("three")),
            Err(PurgeError::Unknown)
        );
        assert_eq!(done(&mut book, purge("three", "!a")), Ok(()));
    }
}

//! Taking in events that other servers have made (server-server API, "Checks performed on receipt of a PDU").
//!
//! [`check`] looks at an event alone: format, signatures, hashes. [`weigh`] looks at it in its room: its predecessors, the state before it, the events that
//! authorise it; it reads the log and so runs in a task beside the room, one at a time for each room. [`take_in`] is the room's own decision: it records
//! what was weighed if the room still is as it was then.

pub mod check;
mod complete;
mod ends;
pub(crate) mod hashes;
mod known;
mod memory;
mod merge;
pub mod order;
mod recommend;
mod redaction;
mod resets;
pub mod sign;
mod task;
#[cfg(test)]
mod tests;
pub(super) mod verdict;
mod weigh;

use std::sync::Arc;

use bytes::Bytes;
use playhouse_schema::{
    address::Sequence,
    record::room::{Placement, RoomRecord, StateId, Transaction},
};
use ruma::{OwnedEventId, OwnedServerName};
use serde::{Deserialize, Serialize};

use super::{
    Room, RoomError, RoomReply, early::Early, event::RoomEvent, policy::PolicyServer,
    state::Extremity,
};
use crate::kernel::Decision;

pub use check::Flaw;
pub use memory::Memory;
pub use order::CheckedPdu;
pub use resets::{Resets, StateReset};
pub(super) use task::receive;

/// Events beyond the newest record are numbered from here on while they are weighed; [`take_in`] gives them the numbers that follow.
const PROVISIONAL: Sequence = 1 << 62;

/// So many events are taken in at a time.
pub const EVENTS_MAX: usize = 50_000;

/// Events of other servers, checked, oldest first.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Receive {
    /// The events. What another of them needs stands before it.
    pub events: Vec<ReceivedEvent>,
    /// On what occasion they come.
    pub occasion: Occasion,
}

/// On what occasion events are taken in.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub enum Occasion {
    /// They are news, or what news rest on.
    #[default]
    News,
    /// They are a stretch of the room's past.
    Past,
    /// Somebody comes into the room, and members were left out of the state that came with it. These servers were told to be in the room.
    PartialArrival(Vec<OwnedServerName>),
    /// The members that were left out are known.
    Completion {
        /// The member event by which somebody came in.
        join: OwnedEventId,
        /// The state before it, whole.
        state: Vec<OwnedEventId>,
    },
    /// States that had gaps have none any more.
    WholeStates,
}

/// An event to be taken in.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReceivedEvent {
    /// The event.
    pub pdu: CheckedPdu,
    /// What is known of its place.
    pub role: Role,
}

/// What is known of a received event's place in the history.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Role {
    /// It follows on events that are known.
    Next,
    /// It follows on events that are known; the room's policy server does not recommend it, for this reason.
    NotRecommended(String),
    /// It was made here, by a client's transaction, and follows on events that are known.
    Own(Option<Transaction>),
    /// It follows on events that are known, and is history.
    Past,
    /// Its predecessors are not known; the state before it, by the IDs of its events, is what another server says.
    Given {
        /// The state before it. All of its events are known, or stand before this one.
        state: Vec<OwnedEventId>,
        /// Whether it is new, or history. What is new takes the place of all that was known: by it somebody comes into a room in which nobody of this
        /// server was.
        placement: Placement,
    },
    /// It is only part of a state or of an auth chain.
    Outlier,
}

/// What became of a received event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fate {
    /// It is part of the room.
    Accepted,
    /// It was known before.
    Known,
    /// Recorded, but not shown: the state in force forbids it.
    SoftFailed(String),
    /// Recorded, but not part of the room: the rules forbid it.
    Rejected(String),
    /// Not recorded: the room's policy server must recommend it.
    Unrecommended(PolicyServer),
    /// Not recorded: the same transaction has brought this event before.
    Repeats(OwnedEventId),
    /// Not recorded: what it rests on is not known.
    Wanting {
        /// Predecessors that are not known.
        prev_events: Vec<OwnedEventId>,
        /// Authorising events that are not known.
        auth_events: Vec<OwnedEventId>,
    },
}

/// What became of all of them, in their order.
pub type Fates = Vec<(OwnedEventId, Fate)>;

/// What was weighed, ready to be recorded.
#[derive(Clone, Debug, Default)]
pub struct TakeIn {
    /// The records; numbers from [`PROVISIONAL`] on mean records of this list.
    records: Vec<RoomRecord>,
    /// What redactions take out of older records.
    erasures: Vec<(Sequence, Bytes)>,
    /// The state in force when this was weighed.
    current_id: StateId,
    /// The ends of the graph when this was weighed, where the outcome depends on them.
    extremities: Option<Vec<Arc<Extremity>>>,
    /// Events that the records name and the room may not hold.
    companions: Vec<Arc<RoomEvent>>,
    /// The redactions that waited when this was weighed.
    early: Early,
}

/// Judges [`TakeIn`]: refused with [`RoomError::Moved`] when the room is no longer what it was when this was weighed.
pub(super) fn take_in(room: &Room, take: TakeIn) -> Result<Decision<Room>, RoomError> {
    let has_other_ends = take
        .extremities
        .is_some_and(|weighed| !are_same_ends(&weighed, &room.extremities));
    // A user of this server has redacted meanwhile what only comes now.
    let is_redacted = |record: &RoomRecord| matches!(record, RoomRecord::Event(event) if room.early.has_changed_for(&event.event_id, &take.early));
    if room.current_id != take.current_id || has_other_ends || take.records.iter().any(is_redacted)
    {
        return Err(RoomError::Moved);
    }
    let mut records = take.records;
    for record in &mut records {
        number(record, room.sequence + 1);
    }
    let mut decision = Decision::new(records, RoomReply::Done);
    decision.divisible = outliers_before_all_else(&decision.records);
    decision.erasures = take.erasures;
    let parked = room.parked.erasures_for(&decision.records);
    decision.erasures.extend(parked);
    if !take.companions.is_empty() {
        let companions = take.companions;
        decision.prepare = Some(Box::new(move |room: &mut Room| room.bring(&companions)));
    }
    Ok(decision)
}

/// Whether these are the same ends of the graph. Then the states after them are the same too, whose numbers may be provisional: an event finds its place once.
/// Most of the ends are shared by both.
fn are_same_ends(ends: &[Arc<Extremity>], others: &[Arc<Extremity>]) -> bool {
    let is_same = |(end, other): (&Arc<Extremity>, &Arc<Extremity>)| {
        Arc::ptr_eq(end, other) || end.event_id == other.event_id
    };
    ends.len() == others.len() && ends.iter().zip(others).all(is_same)
}

/// So many events stand at the front of a list that are no part of the history by themselves: what a join brings along. Without what follows they are only known.
fn outliers_before_all_else(records: &[RoomRecord]) -> usize {
    let is_outlier = |record: &&RoomRecord| matches!(record, RoomRecord::Event(event) if event.placement == Placement::Outlier);
    records.iter().take_while(is_outlier).count()
}

/// Gives the records of a list their numbers.
fn number(record: &mut RoomRecord, first: Sequence) {
    let number = |sequence: &mut Sequence| {
        if *sequence >= PROVISIONAL {
            *sequence = *sequence - PROVISIONAL + first;
        }
    };
    match record {
        RoomRecord::Event(event) => {
            number(&mut event.before);
            event.replaces.iter_mut().for_each(number);
        }
        RoomRecord::StateSet(set) => {
            number(&mut set.base);
            for change in &mut set.changes {
                change.event.iter_mut().for_each(number);
            }
        }
        RoomRecord::StatePartial(partial) => number(&mut partial.first),
        RoomRecord::StateCompleted(completed) => {
            number(&mut completed.first);
            for change in completed.changes.iter_mut().chain(&mut completed.replaced) {
                change.event.iter_mut().for_each(number);
            }
        }
        RoomRecord::PastTaken(taken) => {
            number(&mut taken.first);
            number(&mut taken.last);
        }
        RoomRecord::ReceiptMoved(_)
        | RoomRecord::DirectoryVisibilitySet(_)
        | RoomRecord::MembershipTold(_)
        | RoomRecord::EndsForgotten(_)
        | RoomRecord::KeysReset(_)
        | RoomRecord::PduParked(_)
        | RoomRecord::PdusReleased(_)
        | RoomRecord::Emptied(_)
        | RoomRecord::Gone(_) => {}
    }
}

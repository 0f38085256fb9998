//! Receipts that other servers tell of before that is known what they rest on: the event, or, in a room whose members are still being fetched, that its user
//! is in the room. Servers tell of a receipt once, and what it rests on may come by another way.
//!
//! They wait in memory, those of all rooms of a node together, and go with a room that goes to another node. Who dies takes them along: the next receipt of
//! the same user makes up for that.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;
use parking_lot::Mutex;
use playhouse_schema::address::{Entity, Family};
use ruma::{EventId, OwnedRoomId, RoomId};

use super::{
    Room, RoomCommand, RoomError,
    context::RoomContext,
    message::MoveReceipt,
    receive::{Fate, Fates},
};
use crate::kernel::Myself;

/// So many wait in one room: a server that names events which never come drives out nobody else's.
const IN_ROOM_MAX: usize = 500;

/// So many wait on a node.
const RECEIPTS_MAX: usize = 10_000;

/// So many bytes wait on a node.
const BYTES_MAX: usize = 4 << 20;

/// So many are moved together.
const MOVED_AT_ONCE: usize = 50;

/// What a receipt weighs besides its texts.
const ENTRY_BYTES: usize = 200;

/// A receipt with three identifiers of the greatest length is smaller than this.
const RECEIPT_BYTES_MAX: usize = 3 * 255 + ENTRY_BYTES;

/// The receipts that wait on a node.
#[derive(Debug, Default)]
pub struct HeldReceipts(Mutex<Held>);

/// By their age: a greater number is younger.
#[derive(Debug, Default)]
struct Held {
    receipts: BTreeMap<u64, (OwnedRoomId, MoveReceipt)>,
    rooms: BTreeMap<OwnedRoomId, BTreeSet<u64>>,
    youngest: u64,
    bytes: usize,
}

impl Held {
    fn remove(&mut self, number: u64) -> Option<MoveReceipt> {
        let (room_id, receipt) = self.receipts.remove(&number)?;
        self.bytes = self.bytes.saturating_sub(weight_bytes(&receipt));
        if let Some(numbers) = self.rooms.get_mut(&room_id) {
            numbers.remove(&number);
            if numbers.is_empty() {
                self.rooms.remove(&room_id);
            }
        }
        Some(receipt)
    }

    fn of_room(&self, room_id: &RoomId) -> impl Iterator<Item = (u64, &MoveReceipt)> {
        let numbers = self.rooms.get(room_id).into_iter().flatten();
        numbers.filter_map(move |number| Some((*number, &self.receipts.get(number)?.1)))
    }

    /// The one that has to go, if there are too many.
    fn surplus(&self, room_id: &RoomId) -> Option<u64> {
        let of_room = self.rooms.get(room_id);
        let crowded = of_room.filter(|numbers| numbers.len() > IN_ROOM_MAX);
        if let Some(numbers) = crowded {
            return numbers.first().copied();
        }
        let is_full = self.receipts.len() > RECEIPTS_MAX || self.bytes > BYTES_MAX;
        let oldest = self.receipts.keys().next();
        oldest.copied().filter(|_| is_full)
    }
}

impl HeldReceipts {
    /// Keeps a receipt; the oldest ones go when there are too many.
    pub(super) fn hold(&self, room_id: &RoomId, receipt: MoveReceipt) {
        let bytes = weight_bytes(&receipt);
        if bytes > RECEIPT_BYTES_MAX {
            return;
        }
        let mut held = self.0.lock();
        let is_there = held
            .of_room(room_id)
            .any(|(_, other)| is_same(other, &receipt));
        if is_there {
            return;
        }
        held.youngest += 1;
        let number = held.youngest;
        held.bytes += bytes;
        held.receipts.insert(number, (room_id.to_owned(), receipt));
        held.rooms
            .entry(room_id.to_owned())
            .or_default()
            .insert(number);
        while let Some(number) = held.surplus(room_id) {
            held.remove(number);
        }
    }

    /// Whether any waits in a room.
    fn has_any(&self, room_id: &RoomId) -> bool {
        self.0.lock().rooms.contains_key(room_id)
    }

    /// Takes out those of some rooms, oldest first.
    pub(crate) fn take_of(
        &self,
        is_of_them: impl Fn(&RoomId) -> bool,
    ) -> Vec<(OwnedRoomId, MoveReceipt)> {
        let mut held = self.0.lock();
        let rooms = held.rooms.iter();
        let numbers = rooms.filter(|(room_id, _)| is_of_them(room_id));
        let numbers: BTreeSet<u64> = numbers.flat_map(|(_, of_room)| of_room).copied().collect();
        let taken = numbers.into_iter().filter_map(|number| {
            let room_id = held.receipts.get(&number)?.0.clone();
            Some((room_id, held.remove(number)?))
        });
        taken.collect()
    }

    /// Takes out those of a room's that are wanted, oldest first.
    fn take(&self, room_id: &RoomId, is_wanted: impl Fn(&MoveReceipt) -> bool) -> Vec<MoveReceipt> {
        let mut held = self.0.lock();
        let wanted = held.of_room(room_id);
        let wanted = wanted.filter(|(_, receipt)| is_wanted(receipt));
        let wanted: Vec<u64> = wanted.map(|(number, _)| number).collect();
        let taken = wanted.into_iter();
        taken.filter_map(|number| held.remove(number)).collect()
    }
}

fn weight_bytes(receipt: &MoveReceipt) -> usize {
    let thread_bytes = receipt.thread_id.as_ref().map_or(0, String::len);
    let user_bytes = receipt.user_id.as_str().len();
    ENTRY_BYTES + user_bytes + receipt.event_id.as_str().len() + thread_bytes
}

fn is_same(one: &MoveReceipt, other: &MoveReceipt) -> bool {
    one.event_id == other.event_id
        && one.user_id == other.user_id
        && one.thread_id == other.thread_id
        && one.receipt_type == other.receipt_type
}

/// A receipt that need not wait any more.
pub(super) struct Due {
    receipt: MoveReceipt,
    has_come: bool,
}

/// Events have come, or the members of the room: takes out the receipts that waited for that.
pub(super) fn take_due(
    context: &RoomContext,
    room_id: &RoomId,
    (fates, has_members): (&Fates, bool),
) -> Vec<Due> {
    let held = &context.held_receipts;
    if !held.has_any(room_id) {
        return Vec::new();
    }
    let recorded = fates.iter().filter(|(_, fate)| is_recorded(fate));
    let come: BTreeSet<&EventId> = recorded.map(|(event_id, _)| &**event_id).collect();
    let has_come = |receipt: &MoveReceipt| come.contains(&*receipt.event_id);
    let due = held.take(room_id, |receipt| has_members || has_come(receipt));
    let due = due.into_iter().map(|receipt| Due {
        has_come: has_come(&receipt),
        receipt,
    });
    due.collect()
}

/// Moves receipts that have waited. One that cannot be moved waits on.
pub(super) async fn move_due(
    (myself, context): (&Myself<Room>, &RoomContext),
    room_id: &RoomId,
    due: Vec<Due>,
) {
    for some in due.chunks(MOVED_AT_ONCE) {
        let mut moving = Vec::with_capacity(some.len());
        for Due { receipt, has_come } in some {
            let found = *has_come || is_known(context, room_id, &receipt.event_id).await;
            let moved = MoveReceipt {
                found,
                ..receipt.clone()
            };
            // It is on its way by now, and what is on its way together is committed together.
            moving.push(myself.carry_out(RoomCommand::MoveReceipts(vec![moved])));
        }
        let moved = join_all(moving).await;
        for (Due { receipt, .. }, answer) in some.iter().zip(moved) {
            match answer {
                Ok(_) => {}
                Err(error) if !error.is_lasting() => {
                    context.held_receipts.hold(room_id, receipt.clone());
                }
                Err(error) => {
                    tracing::debug!(%room_id, %error, "a receipt that has waited is passed over");
                }
            }
        }
    }
}

/// Whether a receipt may stand at an event that has met this fate.
fn is_recorded(fate: &Fate) -> bool {
    match fate {
        Fate::Accepted | Fate::Known | Fate::SoftFailed(_) | Fate::Rejected(_) => true,
        Fate::Unrecommended(_) | Fate::Repeats(_) | Fate::Wanting { .. } => false,
    }
}

/// Whether the log has an event of a room.
async fn is_known(context: &RoomContext, room_id: &RoomId, event_id: &EventId) -> bool {
    let found = context.store.find(Family::Rooms, event_id.as_str()).await;
    let entity = Entity::room(room_id.as_str());
    matches!(found, Ok(Some(stored)) if stored.entity == entity)
}

/// Whether a receipt waits for something, as far as the room has refused it.
pub(super) fn is_early(error: &RoomError) -> bool {
    matches!(error, RoomError::NotAtHand | RoomError::PartialState)
}

#[cfg(test)]
mod tests {
    use ruma::{UserId, events::receipt::ReceiptType, room_id};

    use super::*;

    fn receipt(number: usize) -> MoveReceipt {
        MoveReceipt {
            user_id: UserId::parse(format!("@user{number}:x")).unwrap(),
            receipt_type: ReceiptType::Read,
            thread_id: None,
            event_id: EventId::parse(format!("${number}")).unwrap(),
            ts_ms: None,
            found: false,
        }
    }

    fn names(taken: &[MoveReceipt]) -> Vec<&str> {
        taken.iter().map(|one| one.event_id.as_str()).collect()
    }

    #[test]
    fn what_waits_is_given_out_once_and_by_room() {
        let held = HeldReceipts::default();
        let (room, other) = (room_id!("!room:x"), room_id!("!other:x"));
        assert!(!held.has_any(room));
        for number in [1, 2, 2, 3] {
            held.hold(room, receipt(number));
        }
        held.hold(other, receipt(2));
        let taken = held.take(room, |one| one.event_id == "$2");
        assert_eq!(names(&taken), ["$2"]);
        let taken = held.take(room, |_| true);
        assert_eq!(names(&taken), ["$1", "$3"]);
        assert!(!held.has_any(room));
        assert!(held.has_any(other));
        assert_eq!(names(&held.take(other, |_| true)), ["$2"]);
        assert_eq!(held.0.lock().bytes, 0);
    }

    #[test]
    fn those_of_a_room_go_with_it() {
        let held = HeldReceipts::default();
        let (room, other) = (room_id!("!room:x"), room_id!("!other:x"));
        for (room_id, number) in [(room, 1), (other, 2), (room, 3)] {
            held.hold(room_id, receipt(number));
        }
        let taken = held.take_of(|room_id| room_id == room);
        let taken: Vec<_> = taken
            .iter()
            .map(|(room_id, receipt)| (&**room_id, receipt.event_id.as_str()))
            .collect();
        assert_eq!(taken, [(room, "$1"), (room, "$3")]);
        assert!(!held.has_any(room) && held.has_any(other));
    }

    #[test]
    fn the_oldest_go_first() {
        let held = HeldReceipts::default();
        let room = room_id!("!room:x");
        for number in 0..=IN_ROOM_MAX {
            held.hold(room, receipt(number));
        }
        let taken = held.take(room, |_| true);
        assert_eq!(taken.len(), IN_ROOM_MAX);
        assert_eq!(taken[0].event_id, "$1");
        let rooms = RECEIPTS_MAX / IN_ROOM_MAX;
        let room = |number: usize| RoomId::parse(format!("!{number}:x")).unwrap();
        for number in 0..=rooms {
            for receipts in 0..IN_ROOM_MAX {
                held.hold(&room(number), receipt(receipts));
            }
        }
        assert!(held.0.lock().bytes <= BYTES_MAX);
        assert!(held.0.lock().receipts.len() <= RECEIPTS_MAX);
        assert!(!held.has_any(&room(0)));
        assert_eq!(held.take(&room(rooms), |_| true).len(), IN_ROOM_MAX);
        let long = MoveReceipt {
            thread_id: Some("x".repeat(RECEIPT_BYTES_MAX)),
            ..receipt(1)
        };
        held.hold(&room(0), long);
        assert!(!held.has_any(&room(0)));
    }
}

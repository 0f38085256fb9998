//! The receipts in force, by whose they are and by when they moved.

use imbl::OrdMap;
use playhouse_schema::{
    address::{Position, Sequence},
    record::room::ReceiptMoved,
};
use ruma::{EventId, OwnedUserId, UserId};

use super::{Room, state::InFlight};

/// In how many threads of a room a user may have receipts of one type.
pub(crate) const RECEIPT_THREADS_MAX: usize = 500;

/// The key of a receipt: whose, of which type, for which thread.
pub type ReceiptKey = (OwnedUserId, String, Option<String>);

/// A receipt in force.
#[derive(Clone, Debug, PartialEq)]
pub struct Receipt {
    /// What was recorded.
    pub moved: ReceiptMoved,
    /// The number of the record.
    pub sequence: Sequence,
    /// Where it landed in the shard; 0 while its commit is in flight.
    pub position: Position,
    /// The number of the event it stands at, as far as the room knew it when the receipt moved.
    pub place: Option<Sequence>,
}

/// The receipts in force. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Receipts {
    in_force: OrdMap<ReceiptKey, Receipt>,
    /// By position; those in flight are not in it.
    order: OrdMap<Position, ReceiptKey>,
}

impl Receipts {
    /// Puts a receipt in force.
    pub(crate) fn insert(&mut self, key: ReceiptKey, receipt: Receipt) {
        if receipt.position > 0 {
            self.order.insert(receipt.position, key.clone());
        }
        match self.in_force.insert(key.clone(), receipt) {
            Some(old) => {
                self.order.remove(&old.position);
            }
            None if key.2.is_some() => self.forget_old_threads(&key),
            None => {}
        }
    }

    /// The commit has told where the record of a receipt landed.
    pub(crate) fn landed(&mut self, key: ReceiptKey, sequence: Sequence, position: Position) {
        if let Some(receipt) = self.in_force.get_mut(&key)
            && receipt.sequence == sequence
        {
            receipt.position = position;
            self.order.insert(position, key);
        }
    }

    /// Keeps the number of threads in which one user has receipts bounded.
    fn forget_old_threads(&mut self, (user_id, receipt_type, _): &ReceiptKey) {
        let first = (user_id.clone(), receipt_type.clone(), Some(String::new()));
        let threads = self
            .in_force
            .range(first..)
            .take_while(|(key, _)| key.0 == *user_id && key.1 == *receipt_type);
        let mut oldest: Option<(&ReceiptKey, &Receipt)> = None;
        let mut count = 0;
        for (key, receipt) in threads {
            count += 1;
            if oldest.is_none_or(|(_, oldest)| receipt.sequence < oldest.sequence) {
                oldest = Some((key, receipt));
            }
        }
        if count > RECEIPT_THREADS_MAX
            && let Some((key, receipt)) = oldest
        {
            let (key, position) = (key.clone(), receipt.position);
            self.in_force.remove(&key);
            self.order.remove(&position);
        }
    }

    /// One receipt.
    pub fn get(&self, key: &ReceiptKey) -> Option<&Receipt> {
        self.in_force.get(key)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&ReceiptKey, &Receipt)> {
        self.in_force.iter()
    }

    /// Those of one user.
    pub(crate) fn of_user(
        &self,
        user_id: &UserId,
    ) -> impl Iterator<Item = (&ReceiptKey, &Receipt)> {
        let first = (user_id.to_owned(), String::new(), None);
        self.in_force
            .range(first..)
            .take_while(move |((owner, ..), _)| owner == user_id)
    }

    /// Those that moved after a position, up to and including another, in that order. Costs only what it finds.
    pub(crate) fn moved_between(
        &self,
        after: Position,
        until: Position,
    ) -> impl Iterator<Item = (&ReceiptKey, &Receipt)> {
        let range = after.saturating_add(1)..=until.max(after.saturating_add(1));
        self.order
            .range(range)
            .filter_map(|(_, key)| self.in_force.get_key_value(key))
            .filter(move |(_, receipt)| receipt.position <= until)
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.in_force.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.in_force.is_empty()
    }
}

impl Room {
    /// A receipt has moved.
    pub(super) fn take_in_receipt(
        &mut self,
        sequence: Sequence,
        position: Position,
        moved: &ReceiptMoved,
    ) {
        let Ok(user_id) = UserId::parse(&moved.user_id) else {
            return;
        };
        let key = (user_id, moved.receipt_type.clone(), moved.thread_id.clone());
        if position == 0 {
            self.in_flight
                .insert(sequence, InFlight::Receipt(key.clone()));
        }
        let place = EventId::parse(&moved.event_id)
            .ok()
            .and_then(|event_id| self.recent_event(&event_id))
            .map(|event| event.sequence);
        let receipt = Receipt {
            moved: moved.clone(),
            sequence,
            position,
            place,
        };
        self.receipts.insert(key, receipt);
    }
}

#[cfg(test)]
mod tests {
    use ruma::user_id;

    use super::*;

    fn receipt(sequence: Sequence, position: Position) -> Receipt {
        Receipt {
            moved: ReceiptMoved {
                user_id: String::new(),
                receipt_type: String::new(),
                thread_id: None,
                event_id: format!("${sequence}"),
                ts_ms: 0,
            },
            sequence,
            position,
            place: None,
        }
    }

    fn key(name: &str, thread: Option<String>) -> ReceiptKey {
        let user_id = UserId::parse(format!("@{name}:example.org")).unwrap();
        (user_id, "m.read".to_owned(), thread)
    }

    fn between(receipts: &Receipts, after: Position, until: Position) -> Vec<Position> {
        let found = receipts.moved_between(after, until);
        found.map(|(_, receipt)| receipt.position).collect()
    }

    #[test]
    fn those_that_moved_are_found_by_position() {
        let mut receipts = Receipts::default();
        receipts.insert(key("alice", None), receipt(1, 10));
        receipts.insert(key("bob", None), receipt(2, 20));
        receipts.insert(key("alice", None), receipt(3, 0));
        assert_eq!(between(&receipts, 0, 100), [20]);
        receipts.landed(key("alice", None), 3, 30);
        assert_eq!(between(&receipts, 0, 100), [20, 30]);
        assert!(between(&receipts, 20, 29).is_empty());
        assert_eq!(between(&receipts, 29, 30), [30]);
        assert!(between(&receipts, 30, 30).is_empty());
        // One that has moved on meanwhile lands nowhere.
        receipts.insert(key("bob", None), receipt(5, 50));
        receipts.landed(key("bob", None), 4, 40);
        assert_eq!(between(&receipts, 0, 100), [30, 50]);
        assert_eq!(receipts.of_user(user_id!("@bob:example.org")).count(), 1);
    }

    #[test]
    fn forgotten_threads_leave_no_trace() {
        let mut receipts = Receipts::default();
        let most = RECEIPT_THREADS_MAX as u64;
        for number in 1..=most + 5 {
            receipts.insert(
                key("alice", Some(format!("${number}"))),
                receipt(number, number),
            );
        }
        assert_eq!(receipts.len(), RECEIPT_THREADS_MAX);
        assert_eq!(between(&receipts, 0, most + 5).len(), RECEIPT_THREADS_MAX);
        assert_eq!(between(&receipts, 0, 6), [6]);
    }
}

//! The client transactions that a room remembers, so that a repeated request is answered with the first event.

use std::sync::Arc;

use imbl::{OrdMap, Vector};
use playhouse_schema::record::room::Transaction;
use ruma::{EventId, OwnedEventId};

/// How many client transactions a room remembers.
pub(crate) const TRANSACTIONS_MAX: usize = 1_000;

/// Client transactions and the events they made. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Transactions {
    events: OrdMap<Arc<Transaction>, OwnedEventId>,
    /// Oldest first.
    order: Vector<Arc<Transaction>>,
}

impl Transactions {
    /// The event that a transaction made.
    pub fn event_of(&self, transaction: &Transaction) -> Option<&EventId> {
        self.events.get(transaction).map(|event_id| &**event_id)
    }

    /// Remembers one and forgets the oldest beyond the bound.
    pub(crate) fn remember(&mut self, transaction: Transaction, event_id: OwnedEventId) {
        let transaction = Arc::new(transaction);
        if self.events.insert(transaction.clone(), event_id).is_some() {
            return;
        }
        self.order.push_back(transaction);
        if self.order.len() > TRANSACTIONS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.events.remove(&*oldest);
        }
    }

    /// All of them, oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Transaction, &EventId)> {
        self.order.iter().filter_map(|transaction| {
            let event_id = self.events.get(transaction)?;
            Some((&**transaction, &**event_id))
        })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }
}

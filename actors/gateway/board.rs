//! What the outboxes tell without being asked: how much waits in them, and since when.

use parking_lot::RwLock;

use super::OUTBOXES;

/// What one outbox tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// So many notifications wait.
    pub waiting: usize,
    /// When the oldest of them came, milliseconds since the Unix epoch.
    pub oldest_ms: Option<u64>,
    /// There is something else to do.
    pub(super) has_chores: bool,
}

/// What all outboxes of this node tell. One that never was awake since the start has not told anything yet.
#[derive(Default)]
pub struct GatewayBoard {
    slots: [RwLock<Option<Backlog>>; OUTBOXES as usize],
}

impl GatewayBoard {
    pub(super) fn publish(&self, number: u8, backlog: Backlog) {
        if let Some(place) = self.slots.get(usize::from(number)) {
            *place.write() = Some(backlog);
        }
    }

    /// The outbox is on another node from now on: nothing is known of it here.
    pub fn forget(&self, number: u8) {
        if let Some(place) = self.slots.get(usize::from(number)) {
            *place.write() = None;
        }
    }

    /// The outboxes that have, or may have, something to do.
    pub fn pending(&self) -> Vec<u8> {
        let is_pending = |backlog: Backlog| backlog.waiting > 0 || backlog.has_chores;
        (0..OUTBOXES)
            .zip(&self.slots)
            .filter(|(_, slot)| slot.read().is_none_or(is_pending))
            .map(|(number, _)| number)
            .collect()
    }

    /// All that waits on this node.
    pub fn backlog(&self) -> Backlog {
        let told = self.slots.iter().filter_map(|slot| *slot.read());
        told.fold(Backlog::default(), |sum, one| Backlog {
            waiting: sum.waiting + one.waiting,
            oldest_ms: sum.oldest_ms.into_iter().chain(one.oldest_ms).min(),
            has_chores: sum.has_chores || one.has_chores,
        })
    }
}

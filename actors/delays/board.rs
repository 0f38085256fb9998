//! What the schedules tell each other's neighbours without being asked: which of them have something to do, and which state their events would set.

use imbl::{OrdMap, OrdSet};
use parking_lot::RwLock;

use super::{SCHEDULES, state::Target};

/// What one schedule tells.
#[derive(Clone, Default)]
pub(super) struct Slot {
    pub(super) targets: OrdMap<Target, OrdSet<String>>,
    pub(super) has_pending: bool,
}

/// What all schedules of this node tell. A schedule that never was awake since the start has not told anything yet.
#[derive(Default)]
pub struct DelayBoard {
    slots: [RwLock<Option<Slot>>; SCHEDULES as usize],
}

impl DelayBoard {
    pub(super) fn publish(&self, number: u8, slot: Slot) {
        if let Some(place) = self.slots.get(usize::from(number)) {
            *place.write() = Some(slot);
        }
    }

    /// The schedule is on another node from now on: nothing is known of it here.
    pub fn forget(&self, number: u8) {
        if let Some(place) = self.slots.get(usize::from(number)) {
            *place.write() = None;
        }
    }

    fn slots_of(&self, numbers: &[u8]) -> impl Iterator<Item = &RwLock<Option<Slot>>> {
        numbers
            .iter()
            .filter_map(|number| self.slots.get(usize::from(*number)))
    }

    /// Whether these have told what they have.
    pub fn is_complete(&self, numbers: &[u8]) -> bool {
        self.slots_of(numbers).all(|slot| slot.read().is_some())
    }

    /// Whether it is certain that no state event waits in these.
    pub fn has_no_state(&self, numbers: &[u8]) -> bool {
        self.slots_of(numbers).all(|slot| {
            let slot = slot.read();
            slot.as_ref().is_some_and(|slot| slot.targets.is_empty())
        })
    }

    /// The schedules that have, or may have, something to do.
    pub fn pending(&self) -> Vec<u8> {
        let numbers = (0..SCHEDULES).zip(&self.slots);
        numbers
            .filter(|(_, slot)| slot.read().as_ref().is_none_or(|slot| slot.has_pending))
            .map(|(number, _)| number)
            .collect()
    }

    /// The events that wait to set a piece of state, by schedule.
    pub fn waiting_for(&self, target: &Target) -> Vec<(u8, Vec<String>)> {
        let numbers = (0..SCHEDULES).zip(&self.slots);
        let found = numbers.filter_map(|(number, slot)| {
            let slot = slot.read();
            let names = slot.as_ref()?.targets.get(target)?;
            Some((number, names.iter().cloned().collect()))
        });
        found.collect()
    }
}

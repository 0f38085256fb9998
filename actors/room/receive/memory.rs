//! What is learned while events are weighed, and spares the next ones work. It may be lost at any time.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use imbl::ordmap::DiffItem;
use playhouse_schema::record::room::StateId;

use super::{PROVISIONAL, are_same_ends, weigh::Weighing};
use crate::room::{
    Room,
    state::{Extremity, StateMap},
};

/// The states after so many ends are remembered.
const STATES_KEPT: usize = 500;

/// So much of them may be held for them alone, bytes: who makes many ends decides how far their states differ.
const HELD_BYTES_MAX: usize = 4 << 20;

/// What an entry of a state takes besides its event, bytes, roughly.
const ENTRY_BYTES: usize = 200;

/// What is remembered from one weighing to the next.
#[derive(Debug, Default)]
pub struct Memory {
    /// Ends of the graph of which the state in force is known to be the resolution.
    settled: Vec<Arc<Extremity>>,
    states: Arc<Remembered>,
    /// `Room::replaced` when these states were read: they hold events as they were then.
    replaced: u64,
}

/// What a weighing has learned.
pub(super) struct Learned {
    settled: Option<Vec<Arc<Extremity>>>,
    states: Arc<Remembered>,
    replaced: u64,
}

/// States after ends of the graph: to read one anew takes a walk through all that has happened on the other branches.
#[derive(Clone, Debug, Default)]
pub(super) struct Remembered {
    states: BTreeMap<StateId, StateMap>,
    /// The state in force when that was last looked at: what is part of it is held by the room.
    in_force: (StateId, StateMap),
    /// So much is held by the states alone, roughly.
    held_bytes: usize,
}

impl Memory {
    /// Remembers what was learned, once all that was weighed is recorded.
    pub(super) fn keep(&mut self, learned: Learned) {
        if let Some(settled) = learned.settled {
            self.settled = settled;
        }
        self.states = learned.states;
        self.replaced = learned.replaced;
    }
}

impl Remembered {
    pub(super) fn state(&self, id: StateId) -> Option<&StateMap> {
        self.states.get(&id)
    }

    /// Keeps some more, and of all only those after ends.
    fn keep(&mut self, new: Vec<(StateId, StateMap)>, afters: &BTreeSet<StateId>, room: &Room) {
        if self.states.is_empty() {
            *self = Self::default();
        } else if self.in_force.0 != room.current_id {
            self.held_bytes += parted_bytes(&self.in_force.1, &room.current);
        }
        self.in_force = (room.current_id, room.current.clone());
        self.states.retain(|id, _| afters.contains(id));
        let left = STATES_KEPT.saturating_sub(self.states.len());
        for (id, state) in new.into_iter().take(left) {
            self.held_bytes += parted_bytes(&state, &room.current);
            self.states.insert(id, state);
        }
        if self.held_bytes > HELD_BYTES_MAX {
            *self = Self::default();
        }
    }
}

impl Weighing {
    /// Uses what was learned before.
    pub(super) fn recall(&mut self, memory: &Memory) {
        if are_same_ends(&self.room.extremities, &memory.settled) {
            let afters = self.afters();
            self.merged.insert(afters, self.room.current_id);
        }
        if memory.replaced == self.room.replaced {
            self.remembered = memory.states.clone();
        }
    }

    /// What is to be remembered once all of this is recorded.
    pub(super) fn learned(&mut self) -> Learned {
        let afters = self.afters();
        let weighed = &self.history.room;
        let mut states = self.remembered.clone();
        // What was weighed just now has no number of its own yet, and so its states cannot be named.
        let is_new = |id: &&StateId| {
            **id < PROVISIONAL && **id != weighed.current_id && states.state(**id).is_none()
        };
        let new = afters.iter().filter(is_new);
        let new: Vec<_> = new
            .filter_map(|id| Some((*id, self.states.get(id)?.clone())))
            .collect();
        let is_stale = !states.states.is_empty()
            && (states.in_force.0 != weighed.current_id
                || states.states.keys().any(|id| !afters.contains(id)));
        if is_stale || !new.is_empty() {
            Arc::make_mut(&mut states).keep(new, &afters, weighed);
        }
        Learned {
            settled: self.is_settled.then(|| self.room.extremities.clone()),
            states,
            replaced: weighed.replaced,
        }
    }
}

/// What a state has that another has not, bytes, roughly.
fn parted_bytes(state: &StateMap, other: &StateMap) -> usize {
    let own = other.diff(state).filter_map(|item| match item {
        DiffItem::Add(_, event) => Some(event),
        DiffItem::Update { new, .. } => Some(new.1),
        DiffItem::Remove(..) => None,
    });
    own.map(|event| ENTRY_BYTES + event.weight_bytes()).sum()
}

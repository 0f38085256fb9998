//! The state of a room at some moment of its past.
//!
//! A room that has never branched keeps the history of each key as a chain of replacements: a value of the past is a walk from the value in force. After a
//! branch the chain of states ([`StateId`]) is walked instead. Both walks are bounded.

use std::collections::BTreeSet;
use std::sync::Arc;

use playhouse_schema::{address::Sequence, record::room::StateId};

use super::{
    super::{
        error::RoomError,
        event::RoomEvent,
        state::{StateKey, StateMap},
    },
    history::History,
};

/// How many steps a walk for one value may take.
const STEPS_MAX: usize = 20_000;

/// A moment of a room's past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::room) enum Moment {
    /// Now.
    Now,
    /// Just after this record of a room that never branched.
    After(Sequence),
    /// When this state was in force.
    State(StateId),
}

impl History {
    /// Just after an event, as far as the event knows.
    pub(in crate::room) fn after_event(&self, event: &RoomEvent) -> Moment {
        if !self.room.forked {
            Moment::After(event.sequence)
        } else if event.pdu.is_state() {
            Moment::State(event.sequence)
        } else {
            Moment::State(event.before)
        }
    }

    /// Just after a record, as far as this server knew then.
    pub(in crate::room) async fn after_record(
        &mut self,
        sequence: Sequence,
    ) -> Result<Moment, RoomError> {
        if sequence >= self.room.current_id {
            Ok(Moment::Now)
        } else if self.room.forked {
            Ok(Moment::State(self.state_in_force(sequence).await?))
        } else {
            Ok(Moment::After(sequence))
        }
    }

    /// What was in force under a key.
    pub(in crate::room) async fn value(
        &mut self,
        moment: Moment,
        key: &StateKey,
    ) -> Result<Option<Arc<RoomEvent>>, RoomError> {
        let current = self.room.current.get(key).cloned();
        match moment {
            Moment::Now => Ok(current),
            Moment::After(sequence) => self.rewind(current, sequence).await,
            Moment::State(id) => self.value_in(id, key).await,
        }
    }

    /// Walks back along the replacements of a key until the record is not newer than `sequence`.
    pub(in crate::room) async fn rewind(
        &mut self,
        newest: Option<Arc<RoomEvent>>,
        sequence: Sequence,
    ) -> Result<Option<Arc<RoomEvent>>, RoomError> {
        let mut value = newest;
        for _ in 0..STEPS_MAX {
            let Some(event) = value.take_if(|event| event.sequence > sequence) else {
                return Ok(value);
            };
            value = match event.replaces {
                Some(replaced) => self.event(replaced).await?,
                None => None,
            };
        }
        Err(too_far())
    }

    /// Walks back along the states until one says something about the key.
    async fn value_in(
        &mut self,
        id: StateId,
        key: &StateKey,
    ) -> Result<Option<Arc<RoomEvent>>, RoomError> {
        let mut id = id;
        let event_type = key.0.to_string();
        for _ in 0..STEPS_MAX {
            if id == self.room.current_id {
                return Ok(self.room.current.get(key).cloned());
            }
            let Some(link) = self.state_link(id).await? else {
                return Ok(None);
            };
            let change = link
                .changes
                .iter()
                .find(|change| change.event_type == event_type && change.state_key == key.1);
            match change {
                Some(change) => match change.event {
                    Some(sequence) => return self.event(sequence).await,
                    None => return Ok(None),
                },
                None => id = link.base,
            }
        }
        Err(too_far())
    }

    /// The whole state: the state in force with what has changed since taken back.
    pub(in crate::room) async fn state(&mut self, moment: Moment) -> Result<StateMap, RoomError> {
        let mut state = self.room.current.clone();
        if moment == Moment::Now {
            return Ok(state);
        }
        for key in self.changed_since(moment).await? {
            match self.value(moment, &key).await? {
                Some(event) => state.insert(key, event),
                None => state.remove(&key),
            };
        }
        Ok(state)
    }

    /// The keys whose values now and then may differ.
    pub(in crate::room) async fn changed_since(
        &mut self,
        moment: Moment,
    ) -> Result<BTreeSet<StateKey>, RoomError> {
        match moment {
            Moment::Now => Ok(BTreeSet::new()),
            Moment::After(sequence) => Ok(self
                .room
                .current
                .iter()
                .filter(|(_, event)| event.sequence > sequence)
                .map(|(key, _)| key.clone())
                .collect()),
            Moment::State(id) => self.changed_between(self.room.current_id, id).await,
        }
    }

    /// The keys that were touched on the ways from two states back to where they part.
    async fn changed_between(
        &mut self,
        one: StateId,
        other: StateId,
    ) -> Result<BTreeSet<StateKey>, RoomError> {
        let (mut one, mut other) = (one, other);
        let mut keys = BTreeSet::new();
        for _ in 0..STEPS_MAX {
            if one == other {
                return Ok(keys);
            }
            // A state is younger than its base, so the younger of the two cannot be where they part. (But for the first state with gaps that were closed: all
            // that follow on it come by it before they come to what closed them.)
            let younger = if one > other { &mut one } else { &mut other };
            let Some(link) = self.state_link(*younger).await? else {
                return Ok(keys);
            };
            *younger = link.base;
            let touched = link
                .changes
                .into_iter()
                .map(|change| (change.event_type.into(), change.state_key));
            keys.extend(touched);
        }
        Err(too_far())
    }
}

fn too_far() -> RoomError {
    RoomError::Broken("state lies too far back".to_owned())
}

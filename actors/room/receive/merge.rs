//! Differences between states, and several states resolved into one.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use playhouse_schema::{
    address::Sequence,
    record::room::{StateChange, StateId},
};
use ruma::{EventId, OwnedEventId, events::TimelineEventType};

use super::weigh::Weighing;
use crate::room::{
    RoomError,
    event::RoomEvent,
    pdu::Pdu,
    resolve::{self, ResolveError},
    state::{StateKey, StateMap},
};

/// So many events of auth chains are read for one resolution: a room that needs more is not one that anybody can serve.
const CHAIN_EVENTS_MAX: usize = 200_000;

/// What turns one state into another, sorted.
pub(super) fn changes(from: &StateMap, to: &StateMap) -> Vec<StateChange> {
    let mut changes = Vec::new();
    for (key, event) in to {
        let same = from
            .get(key)
            .is_some_and(|old| old.pdu.event_id == event.pdu.event_id);
        if !same {
            changes.push(change(key, Some(event.sequence)));
        }
    }
    for key in from.keys().filter(|key| !to.contains_key(*key)) {
        changes.push(change(key, None));
    }
    changes.sort_by(|a, b| (&a.event_type, &a.state_key).cmp(&(&b.event_type, &b.state_key)));
    changes
}

fn change((event_type, state_key): &StateKey, event: Option<Sequence>) -> StateChange {
    StateChange {
        event_type: event_type.to_string(),
        state_key: state_key.clone(),
        event,
    }
}

impl Weighing {
    /// One state out of several, as a state of its own.
    pub(super) async fn merged(&mut self, ids: &BTreeSet<StateId>) -> Result<StateId, RoomError> {
        if let Some(merged) = self.merged.get(ids) {
            return Ok(*merged);
        }
        let resolved = self.resolution(ids).await?;
        let id = self.state_as_set(resolved, false)?;
        self.merged.insert(Arc::new(ids.clone()), id);
        Ok(id)
    }

    /// One state out of several.
    pub(super) async fn resolution(
        &mut self,
        ids: &BTreeSet<StateId>,
    ) -> Result<StateMap, RoomError> {
        let mut states = Vec::with_capacity(ids.len());
        for id in ids {
            states.push(self.state(*id).await?);
        }
        self.resolved(&states).await
    }

    async fn resolved(&mut self, states: &[StateMap]) -> Result<StateMap, RoomError> {
        let rules = self.room.rules()?.clone();
        let mut book = Book::default();
        for state in states {
            for event in state.values() {
                book.add(event);
            }
        }
        while let Some(event_id) = book.open.pop() {
            if book.events.contains_key(&event_id) {
                continue;
            }
            if book.events.len() > CHAIN_EVENTS_MAX {
                return Err(RoomError::Broken("its auth chains are too long".to_owned()));
            }
            if let Some(event) = self.find(&event_id).await? {
                book.add(&event);
            }
        }
        let ids: Vec<_> = states.iter().map(resolve::ids_of).collect();
        let fetch = |event_id: &EventId| -> Option<&Pdu> {
            book.events.get(event_id).map(|event| &event.pdu)
        };
        let resolved = resolve::resolve(&rules, &ids, &fetch).map_err(broken)?;
        let mut state = StateMap::new();
        for (key, event_id) in resolved {
            let event = book
                .events
                .get(&event_id)
                .ok_or_else(|| broken(ResolveError::Missing(event_id.clone())))?;
            state.insert(key, event.clone());
        }
        // Members who are not known yet are not made known by what some event happens to rest on, which need not be the newest.
        if self.room.partial().is_some() {
            let is_new = |key: &StateKey| {
                key.0 == TimelineEventType::RoomMember
                    && !states.iter().any(|state| state.contains_key(key))
            };
            let new: Vec<_> = state.keys().filter(|key| is_new(key)).cloned().collect();
            for key in new {
                state.remove(&key);
            }
        }
        Ok(state)
    }
}

fn broken(error: ResolveError) -> RoomError {
    RoomError::Broken(error.to_string())
}

/// The events of some states and of their auth chains.
#[derive(Default)]
struct Book {
    events: BTreeMap<OwnedEventId, Arc<RoomEvent>>,
    open: Vec<OwnedEventId>,
}

impl Book {
    fn add(&mut self, event: &Arc<RoomEvent>) {
        let known = self
            .events
            .insert(event.pdu.event_id.clone(), event.clone());
        if known.is_none() {
            self.open.extend(event.pdu.auth_events.iter().cloned());
        }
    }
}

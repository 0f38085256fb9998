//! State resolution: one state out of several, by the algorithm of the room's version.
//!
//! Pure: events come through a closure, and the result depends neither on the order of the states nor on that of their events.

#[cfg(test)]
mod tests;
mod v1;

use std::collections::{BTreeMap, BTreeSet};

use playhouse_schema::record::room::{StateChange, StateSet};
use ruma::{
    EventId, OwnedEventId,
    events::{StateEventType, TimelineEventType},
    room_version_rules::RoomVersionRules,
    state_res::{self, utils::event_id_set::EventIdSet},
};

use super::{
    Room,
    pdu::Pdu,
    state::{StateKey, StateMap},
};

/// A state by the IDs of its events.
pub type StateIds = BTreeMap<StateKey, OwnedEventId>;

/// Why states could not be resolved.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// An event of one of the states is not at hand.
    #[error("event {0} is missing")]
    Missing(OwnedEventId),
    /// The events contradict what the algorithm presumes.
    #[error("state resolution: {0}")]
    Broken(String),
}

/// Resolves states. `fetch` gives every event of the states and of their auth chains that is known; unknown events of auth chains are passed over.
pub fn resolve<'a>(
    rules: &RoomVersionRules,
    states: &[StateIds],
    fetch: &impl Fn(&EventId) -> Option<&'a Pdu>,
) -> Result<StateIds, ResolveError> {
    let Some((first, others)) = states.split_first() else {
        return Ok(StateIds::new());
    };
    if others.iter().all(|state| state == first) {
        return Ok(first.clone());
    }
    match rules.state_res.v2_rules() {
        None => v1::resolve(&rules.authorization, states, fetch),
        Some(v2_rules) => resolve_v2(rules, v2_rules, states, fetch),
    }
}

fn resolve_v2<'a>(
    rules: &RoomVersionRules,
    v2_rules: &ruma::room_version_rules::StateResolutionV2Rules,
    states: &[StateIds],
    fetch: &impl Fn(&EventId) -> Option<&'a Pdu>,
) -> Result<StateIds, ResolveError> {
    let maps: Vec<state_res::StateMap<OwnedEventId>> = states
        .iter()
        .map(|state| {
            state
                .iter()
                .map(|((event_type, state_key), event_id)| {
                    let event_type = StateEventType::from(event_type.to_string());
                    ((event_type, state_key.clone()), event_id.clone())
                })
                .collect()
        })
        .collect();
    let auth_chains = states
        .iter()
        .map(|state| {
            auth_chain(state.values(), fetch)
                .into_iter()
                .collect::<EventIdSet<_>>()
        })
        .collect();
    let resolved = state_res::resolve(
        &rules.authorization,
        v2_rules,
        &maps,
        auth_chains,
        fetch,
        |conflicted| Some(subgraph(conflicted.values().flatten(), fetch)),
    )
    .map_err(|error| ResolveError::Broken(error.to_string()))?;
    Ok(resolved
        .into_iter()
        .map(|((event_type, state_key), event_id)| {
            let event_type = TimelineEventType::from(event_type.to_string());
            ((event_type, state_key), event_id)
        })
        .collect())
}

/// All events that authorise these, directly or not; without these themselves unless they authorise each other.
pub fn auth_chain<'a, 'b>(
    events: impl Iterator<Item = &'b OwnedEventId>,
    fetch: &impl Fn(&EventId) -> Option<&'a Pdu>,
) -> BTreeSet<OwnedEventId> {
    let mut chain = BTreeSet::new();
    let mut open: Vec<OwnedEventId> = events.cloned().collect();
    while let Some(event_id) = open.pop() {
        let Some(event) = fetch(&event_id) else {
            continue;
        };
        for authorising in &event.auth_events {
            if chain.insert(authorising.clone()) {
                open.push(authorising.clone());
            }
        }
    }
    chain
}

/// The conflicted state subgraph (room version 12): every event on a path of auth links from one conflicted event to another, ends included.
fn subgraph<'a, 'b>(
    conflicted: impl Iterator<Item = &'b OwnedEventId>,
    fetch: &impl Fn(&EventId) -> Option<&'a Pdu>,
) -> EventIdSet<OwnedEventId> {
    let conflicted: BTreeSet<OwnedEventId> = conflicted.cloned().collect();
    // Below: what the conflicted events rest on. Each is on a path when it leads on to a conflicted event itself.
    let mut below = auth_chain(conflicted.iter(), fetch);
    below.extend(conflicted.iter().cloned());
    let mut above: BTreeMap<&OwnedEventId, Vec<&OwnedEventId>> = BTreeMap::new();
    for event_id in &below {
        let links = fetch(event_id)
            .into_iter()
            .flat_map(|event| &event.auth_events);
        for authorising in links {
            above.entry(authorising).or_default().push(event_id);
        }
    }
    let mut on_path: BTreeSet<&OwnedEventId> = conflicted.iter().collect();
    let mut open: Vec<&OwnedEventId> = conflicted.iter().collect();
    while let Some(event_id) = open.pop() {
        for higher in above.get(event_id).into_iter().flatten() {
            if on_path.insert(higher) {
                open.push(higher);
            }
        }
    }
    on_path.into_iter().cloned().collect()
}

/// The states after several ends of the room's graph become one: the record that makes it the state in force, as a difference to the state in force now.
/// All events of `states` must be recorded. `None` when nothing changes.
pub fn merge<'a>(
    room: &Room,
    states: &[StateMap],
    fetch: &impl Fn(&EventId) -> Option<&'a Pdu>,
) -> Result<Option<StateSet>, ResolveError> {
    let Some(rules) = &room.rules else {
        return Err(ResolveError::Broken("the room has no version".to_owned()));
    };
    let ids: Vec<StateIds> = states.iter().map(ids_of).collect();
    let resolved = resolve(rules, &ids, fetch)?;
    let mut changes = Vec::new();
    for (key, event_id) in &resolved {
        if room
            .current
            .get(key)
            .is_some_and(|event| event.pdu.event_id == *event_id)
        {
            continue;
        }
        let event = states
            .iter()
            .filter_map(|state| state.get(key))
            .find(|event| event.pdu.event_id == *event_id)
            .ok_or_else(|| ResolveError::Missing(event_id.clone()))?;
        changes.push(change(key, Some(event.sequence)));
    }
    for key in room.current.keys() {
        if !resolved.contains_key(key) {
            changes.push(change(key, None));
        }
    }
    changes.sort_by(|a, b| (&a.event_type, &a.state_key).cmp(&(&b.event_type, &b.state_key)));
    Ok((!changes.is_empty()).then_some(StateSet {
        base: room.current_id,
        changes,
        current: true,
    }))
}

/// A state by the IDs of its events.
pub fn ids_of(state: &StateMap) -> StateIds {
    state
        .iter()
        .map(|(key, event)| (key.clone(), event.pdu.event_id.clone()))
        .collect()
}

fn change((event_type, state_key): &StateKey, event: Option<u64>) -> StateChange {
    StateChange {
        event_type: event_type.to_string(),
        state_key: state_key.clone(),
        event,
    }
}

//! The state resolution of room version 1 (room version 1, "State resolution"). Known to reset state; kept because rooms of this version live on it.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use ruma::{
    EventId, OwnedEventId,
    events::{StateEventType, TimelineEventType},
    room_version_rules::AuthorizationRules,
    state_res::check_state_dependent_auth_rules,
};
use sha1::{Digest as _, Sha1};

use super::{ResolveError, StateIds};
use crate::room::{pdu::Pdu, state::StateKey};

/// Types that authorise others, in the order in which their conflicts are resolved.
const PASSES: [TimelineEventType; 3] = [
    TimelineEventType::RoomPowerLevels,
    TimelineEventType::RoomJoinRules,
    TimelineEventType::RoomMember,
];

/// A state being resolved.
type Resolved<'a> = BTreeMap<StateKey, &'a Pdu>;

pub(super) fn resolve<'a>(
    rules: &AuthorizationRules,
    states: &[StateIds],
    fetch: &impl Fn(&EventId) -> Option<&'a Pdu>,
) -> Result<StateIds, ResolveError> {
    let (mut resolved, mut conflicts) = split(states, fetch)?;
    for event_type in PASSES {
        // Keys of one type are judged on the same state, so that their order does not matter.
        let settled = resolved.clone();
        for (key, events) in conflicts.extract_if(.., |key, _| key.0 == event_type) {
            if let Some(winner) = last_of_the_allowed(rules, &settled, events) {
                resolved.insert(key, winner);
            }
        }
    }
    // What is left authorises nothing.
    let settled = resolved.clone();
    for (key, events) in conflicts {
        if let Some(winner) = deepest_of_the_allowed(rules, &settled, events) {
            resolved.insert(key, winner);
        }
    }
    Ok(resolved
        .into_iter()
        .map(|(key, event)| (key, event.event_id.clone()))
        .collect())
}

/// What the states agree on, and the different events of each key on which they do not. A key that some states lack is no conflict as long as the
/// others agree.
fn split<'a>(
    states: &[StateIds],
    fetch: &impl Fn(&EventId) -> Option<&'a Pdu>,
) -> Result<(Resolved<'a>, BTreeMap<StateKey, Vec<&'a Pdu>>), ResolveError> {
    let mut events: BTreeMap<&StateKey, BTreeSet<&OwnedEventId>> = BTreeMap::new();
    for (key, event_id) in states.iter().flatten() {
        events.entry(key).or_default().insert(event_id);
    }
    let mut agreed = Resolved::new();
    let mut conflicts = BTreeMap::new();
    for (key, event_ids) in events {
        let mut found = Vec::new();
        for event_id in event_ids {
            found.push(fetch(event_id).ok_or_else(|| ResolveError::Missing(event_id.clone()))?);
        }
        match found[..] {
            [event] => {
                agreed.insert(key.clone(), event);
            }
            _ => {
                conflicts.insert(key.clone(), found);
            }
        }
    }
    Ok((agreed, conflicts))
}

/// The first event counts unjudged; each further one replaces it as long as it is allowed on the state with the one before.
fn last_of_the_allowed<'a>(
    rules: &AuthorizationRules,
    resolved: &Resolved<'a>,
    mut events: Vec<&'a Pdu>,
) -> Option<&'a Pdu> {
    events.sort_by_key(|event| (event.depth, Reverse(digest(event))));
    let mut events = events.into_iter();
    let mut winner = events.next()?;
    for event in events {
        if !is_allowed(rules, resolved, Some(winner), event) {
            break;
        }
        winner = event;
    }
    Some(winner)
}

fn deepest_of_the_allowed<'a>(
    rules: &AuthorizationRules,
    settled: &Resolved<'a>,
    mut events: Vec<&'a Pdu>,
) -> Option<&'a Pdu> {
    events.sort_by_key(|event| (Reverse(event.depth), digest(event)));
    let allowed = events
        .iter()
        .find(|event| is_allowed(rules, settled, None, event));
    // When none is allowed, the least deep stays, so that the key is not lost.
    allowed.or(events.last()).copied()
}

fn is_allowed(
    rules: &AuthorizationRules,
    state: &Resolved<'_>,
    winner: Option<&Pdu>,
    event: &Pdu,
) -> bool {
    let key_of = |event: &Pdu| {
        let state_key = event.state_key.clone().unwrap_or_default();
        (event.event_type.clone(), state_key)
    };
    check_state_dependent_auth_rules(rules, event, |event_type: &StateEventType, state_key| {
        let key = (
            TimelineEventType::from(event_type.to_string()),
            state_key.to_owned(),
        );
        winner
            .filter(|winner| key_of(winner) == key)
            .or_else(|| state.get(&key).copied())
    })
    .is_ok()
}

fn digest(event: &Pdu) -> [u8; 20] {
    Sha1::digest(event.event_id.as_str().as_bytes()).into()
}

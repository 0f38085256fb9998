//! What the authorisation rules say of a received event, on several states.

use ruma::{
    EventId,
    events::{StateEventType, TimelineEventType},
    room_version_rules::RoomVersionRules,
    state_res::{check_state_dependent_auth_rules, check_state_independent_auth_rules},
};

use crate::room::{event::RoomEvent, pdu::Pdu, state::StateMap};
use std::sync::Arc;

/// Judges an event by the events that it names as authorising it, the room's create event among the given ones.
pub(super) fn by_auth_events(
    rules: &RoomVersionRules,
    pdu: &Pdu,
    authorising: &[Arc<RoomEvent>],
) -> Result<(), String> {
    let fetch = |event_id: &EventId| {
        authorising
            .iter()
            .map(|event| &event.pdu)
            .find(|event| event.event_id == event_id)
    };
    check_state_independent_auth_rules(&rules.authorization, pdu, fetch)?;
    check_state_dependent_auth_rules(
        &rules.authorization,
        pdu,
        |event_type: &StateEventType, state_key| {
            let event_type = TimelineEventType::from(event_type.to_string());
            authorising.iter().map(|event| &event.pdu).find(|event| {
                event.event_type == event_type && event.state_key.as_deref() == Some(state_key)
            })
        },
    )
}

/// Judges an event by a state.
pub(in crate::room) fn by_state(
    rules: &RoomVersionRules,
    pdu: &Pdu,
    state: &StateMap,
) -> Result<(), String> {
    if pdu.event_type == TimelineEventType::RoomCreate {
        return Ok(());
    }
    check_state_dependent_auth_rules(
        &rules.authorization,
        pdu,
        |event_type: &StateEventType, state_key| {
            let key = (
                TimelineEventType::from(event_type.to_string()),
                state_key.to_owned(),
            );
            state.get(&key).map(|event| &event.pdu)
        },
    )
}

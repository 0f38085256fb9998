//! Whether an event may happen: the authorisation rules of the room's version, through `ruma`.

pub(crate) mod allowed;
pub(crate) mod power;

use std::sync::Arc;

use ruma::{
    EventId,
    events::{StateEventType, TimelineEventType},
    state_res::{
        auth_types_for_event, check_state_dependent_auth_rules, check_state_independent_auth_rules,
    },
};
use serde_json::value::RawValue;

use super::{Room, RoomError, build::NewEvent, event::RoomEvent, pdu::Pdu, state::StateMap};

/// The events of the state in force that authorise a new event (server-server API, "Auth events selection").
pub(crate) fn auth_events<'a>(
    room: &'a Room,
    event: &NewEvent,
) -> Result<Vec<&'a Arc<RoomEvent>>, RoomError> {
    let rules = room.rules()?;
    // Only member events are judged by their content here.
    let text = if event.event_type == TimelineEventType::RoomMember {
        event.content.to_text()
    } else {
        "{}".to_owned()
    };
    let content = RawValue::from_string(text)
        .map_err(|error| RoomError::BadJson(format!("not JSON: {error}")))?;
    let keys = auth_types_for_event(
        &event.event_type,
        &event.sender,
        event.state_key.as_deref(),
        &content,
        &rules.authorization,
    )
    .map_err(RoomError::BadJson)?;
    Ok(keys
        .iter()
        .filter_map(|(event_type, state_key)| room.state_event(event_type, state_key))
        .collect())
}

/// Judges a new event on the state in force.
pub(crate) fn authorise(room: &Room, event: &Pdu) -> Result<(), RoomError> {
    let rules = &room.rules()?.authorization;
    let candidates = candidates(room, event);
    let fetch = |event_id: &EventId| {
        candidates
            .iter()
            .copied()
            .find(|candidate| candidate.event_id == event_id)
    };
    check_state_independent_auth_rules(rules, event, fetch).map_err(RoomError::Forbidden)?;
    check_state_dependent_auth_rules(rules, event, |event_type: &StateEventType, state_key| {
        room.state_event(event_type, state_key)
            .map(|event| &event.pdu)
    })
    .map_err(RoomError::Forbidden)
}

/// The state that may authorise an event of its sender and kind. Never looks at more of the state than the rules can name.
fn candidates<'a>(room: &'a Room, event: &Pdu) -> Vec<&'a Pdu> {
    let held = candidate_events(&room.current, event);
    held.map(|event| &event.pdu).collect()
}

/// As [`candidates`], in any state.
pub(super) fn candidate_events<'a>(
    state: &'a StateMap,
    event: &Pdu,
) -> impl Iterator<Item = &'a Arc<RoomEvent>> {
    let keys = candidate_keys(event).into_iter();
    keys.filter_map(|(event_type, state_key)| {
        state.get(&(event_type.to_string().into(), state_key))
    })
}

fn candidate_keys(event: &Pdu) -> Vec<(StateEventType, String)> {
    let mut keys = vec![
        (StateEventType::RoomCreate, String::new()),
        (StateEventType::RoomPowerLevels, String::new()),
        (StateEventType::RoomMember, event.sender.to_string()),
    ];
    if event.event_type == TimelineEventType::RoomMember {
        keys.push((StateEventType::RoomJoinRules, String::new()));
        keys.extend(
            event
                .state_key
                .clone()
                .map(|target| (StateEventType::RoomMember, target)),
        );
        keys.extend(keys_in_content(event));
    }
    keys
}

/// The third-party invite and the user who vouches for a restricted join.
fn keys_in_content(event: &Pdu) -> Vec<(StateEventType, String)> {
    #[derive(serde::Deserialize)]
    struct Content {
        join_authorised_via_users_server: Option<String>,
        third_party_invite: Option<ThirdPartyInvite>,
    }
    #[derive(serde::Deserialize)]
    struct ThirdPartyInvite {
        signed: Signed,
    }
    #[derive(serde::Deserialize)]
    struct Signed {
        token: String,
    }
    let Some(content) = event.content_as::<Content>() else {
        return Vec::new();
    };
    let voucher = content
        .join_authorised_via_users_server
        .map(|user_id| (StateEventType::RoomMember, user_id));
    let invite = content
        .third_party_invite
        .map(|invite| (StateEventType::RoomThirdPartyInvite, invite.signed.token));
    voucher.into_iter().chain(invite).collect()
}

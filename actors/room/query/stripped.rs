//! Stripped state (client-server API, "Stripped state"): what somebody who could join may know of the room.

use std::sync::Arc;

use bytes::Bytes;
use ruma::{UserId, events::TimelineEventType};

use super::{
    super::{event::RoomEvent, state::Room},
    client_form,
    visibility::member_key,
};

/// The state that helps to recognise a room. The create event is required since version 1.16 of the specification.
const TYPES: [TimelineEventType; 7] = [
    TimelineEventType::RoomCreate,
    TimelineEventType::RoomName,
    TimelineEventType::RoomAvatar,
    TimelineEventType::RoomTopic,
    TimelineEventType::RoomJoinRules,
    TimelineEventType::RoomCanonicalAlias,
    TimelineEventType::RoomEncryption,
];

/// Answers the stripped state with the user's own member event.
pub(super) fn stripped(room: &Room, user_id: &UserId) -> Vec<Bytes> {
    recognising(room)
        .into_iter()
        .chain(room.current.get(&member_key(user_id)))
        .map(|event| client_form::stripped(event))
        .collect()
}

/// The events themselves.
pub(super) fn recognising(room: &Room) -> Vec<&Arc<RoomEvent>> {
    let keys = TYPES.map(|event_type| (event_type, String::new()));
    keys.iter()
        .filter_map(|key| room.current.get(key))
        .collect()
}

//! Stripped state (client-server API, "Stripped state"): what somebody who could join may know of the room.

use bytes::Bytes;
use ruma::{UserId, events::TimelineEventType};

use super::{super::state::Room, client_form, visibility::member_key};

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
    let keys = TYPES.map(|event_type| (event_type, String::new()));
    keys.iter()
        .chain([&member_key(user_id)])
        .filter_map(|key| room.current.get(key))
        .map(|event| client_form::stripped(event))
        .collect()
}

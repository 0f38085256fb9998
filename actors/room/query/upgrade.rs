//! What a replacement room takes over (client-server API, "Room upgrades").

use bytes::Bytes;
use ruma::{
    UserId,
    events::{StateEventType, TimelineEventType, room::member::MembershipState},
};

use super::{
    super::error::RoomError,
    View,
    access::{may_send_state, room_type},
};

/// The state that the specification recommends to transfer. Member events cannot be: servers cannot speak for other servers' users.
const TYPES: [TimelineEventType; 9] = [
    TimelineEventType::RoomServerAcl,
    TimelineEventType::RoomEncryption,
    TimelineEventType::RoomName,
    TimelineEventType::RoomAvatar,
    TimelineEventType::RoomTopic,
    TimelineEventType::RoomGuestAccess,
    TimelineEventType::RoomHistoryVisibility,
    TimelineEventType::RoomJoinRules,
    TimelineEventType::RoomPowerLevels,
];

/// Answers the state to transfer, to somebody who may close the room. A space's list of rooms goes with it.
pub(super) fn state_for_upgrade(view: &View, user_id: &UserId) -> Result<Vec<Bytes>, RoomError> {
    let room = view.room();
    if room.membership(user_id) != Some(MembershipState::Join) {
        return Err(RoomError::Forbidden("you are not in this room".to_owned()));
    }
    if !may_send_state(room, user_id, &StateEventType::RoomTombstone) {
        return Err(RoomError::Forbidden(
            "your power level does not allow m.room.tombstone".to_owned(),
        ));
    }
    let form = view.form(room, None);
    let keys = TYPES.map(|event_type| (event_type, String::new()));
    let mut events: Vec<_> = keys
        .iter()
        .filter_map(|key| room.current.get(key))
        .map(|event| form.state(event))
        .collect();
    if room_type(room).as_deref() == Some("m.space") {
        let children = room
            .current
            .range((TimelineEventType::SpaceChild, String::new())..)
            .take_while(|((event_type, _), _)| *event_type == TimelineEventType::SpaceChild)
            .filter(|(_, event)| event.pdu.content_json() != "{}");
        events.extend(children.map(|(_, event)| form.state(event)));
    }
    Ok(events)
}

//! What push rules ask about a room: its size, the reader's name in it, and who may notify everybody.

use ruma::{
    OwnedUserId, UserId,
    events::{
        StateEventType,
        room::power_levels::{RoomPowerLevels, RoomPowerLevelsEventContent, RoomPowerLevelsSource},
    },
    state_res::Event as _,
};
use serde::Deserialize;

use super::{Room, message::PushFacts};

#[derive(Deserialize)]
struct MemberName {
    displayname: Option<String>,
}

#[derive(Deserialize)]
struct CreateContent {
    #[serde(default)]
    additional_creators: Vec<OwnedUserId>,
}

/// The facts of this moment.
pub(crate) fn push_facts(room: &Room, user_id: &UserId) -> PushFacts {
    let displayname = room
        .state_event(&StateEventType::RoomMember, user_id.as_str())
        .and_then(|event| event.pdu.content_as::<MemberName>())
        .and_then(|content| content.displayname);
    PushFacts {
        joined_count: room.joined_count,
        displayname,
        power_levels: power_levels(room).map(Into::into),
    }
}

fn power_levels(room: &Room) -> Option<RoomPowerLevels> {
    let rules = room.rules.as_ref()?;
    let create = room.state_event(&StateEventType::RoomCreate, "")?;
    let additional = create
        .pdu
        .content_as::<CreateContent>()
        .map(|content| content.additional_creators)
        .unwrap_or_default();
    let creators = std::iter::once(create.pdu.sender.clone()).chain(additional);
    let source = room
        .state_event(&StateEventType::RoomPowerLevels, "")
        .and_then(|event| {
            let content = event.pdu.content().get();
            serde_json::from_str::<RoomPowerLevelsEventContent>(content).ok()
        })
        .map_or(RoomPowerLevelsSource::None, RoomPowerLevelsSource::Original);
    Some(RoomPowerLevels::new(source, &rules.authorization, creators))
}

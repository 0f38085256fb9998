//! What a push says of the room and of those who are in it, so that a device can show it without asking.

use std::collections::BTreeMap;

use ruma::{OwnedUserId, UserId, events::StateEventType};
use serde::Deserialize;

use super::{
    super::{answer::PushNames, state::Room, told::Told},
    access::{canonical_alias, name},
    summary::heroes,
};

#[derive(Deserialize)]
struct MemberName {
    displayname: Option<String>,
}

/// The names of a room that this server is in, and of some of its members.
pub(super) fn push_names(room: &Room, user_id: &UserId, members: &[OwnedUserId]) -> PushNames {
    let room_name = name(room);
    let room_alias = canonical_alias(room).map(|alias| alias.to_string());
    let others = match (&room_name, &room_alias) {
        (None, None) => heroes(room, user_id),
        _ => Vec::new(),
    };
    let named = |user_id: &OwnedUserId| member_name(room, user_id);
    PushNames {
        room_name,
        room_alias,
        others: others
            .iter()
            .map(|user_id| named(user_id).unwrap_or_else(|| user_id.to_string()))
            .collect(),
        members: members
            .iter()
            .filter_map(|user_id| Some((user_id.clone(), named(user_id)?)))
            .collect(),
    }
}

fn member_name(room: &Room, user_id: &UserId) -> Option<String> {
    let event = room.state_event(&StateEventType::RoomMember, user_id.as_str())?;
    let content: MemberName = event.pdu.content_as()?;
    content.displayname.filter(|name| !name.is_empty())
}

/// The same of a room into which a user of this server was invited from elsewhere, as far as that was told.
pub(super) fn push_names_told(told: &Told, members: &[OwnedUserId]) -> PushNames {
    #[derive(Deserialize)]
    struct Stripped {
        #[serde(rename = "type")]
        event_type: String,
        #[serde(default)]
        state_key: String,
        content: serde_json::Value,
    }
    let mut names = PushNames::default();
    let mut known = BTreeMap::new();
    let events = told.record.stripped.iter();
    for event in events.filter_map(|event| serde_json::from_slice::<Stripped>(event).ok()) {
        let field = |field: &str| {
            let value = event.content.get(field)?.as_str()?;
            (!value.is_empty()).then(|| value.to_owned())
        };
        match event.event_type.as_str() {
            "m.room.name" => names.room_name = field("name"),
            "m.room.canonical_alias" => names.room_alias = field("alias"),
            "m.room.member" => {
                if let Some(name) = field("displayname") {
                    known.insert(event.state_key, name);
                }
            }
            _ => {}
        }
    }
    let of_member = |user_id: &OwnedUserId| {
        let name = known.get(user_id.as_str())?;
        Some((user_id.clone(), name.clone()))
    };
    names.members = members.iter().filter_map(of_member).collect();
    names
}

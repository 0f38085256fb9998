//! What a new room gets when nobody says otherwise.

use ruma::{events::StateEventType, room_version_rules::RoomVersionRules};
use serde_json::json;

use super::bad;
use crate::room::{
    RoomError,
    canonical::Canonical,
    message::{NewRoom, Preset},
};

/// The first power levels: the defaults of the room version and the preset, with the request's overrides on top.
pub(super) fn power_levels(
    rules: &RoomVersionRules,
    wish: &NewRoom,
) -> Result<Canonical, RoomError> {
    let has_infinite_creators = rules.authorization.explicitly_privilege_room_creators;
    let mut users = serde_json::Map::new();
    if !has_infinite_creators {
        users.insert(wish.creator.to_string(), json!(100));
        if wish.preset == Preset::TrustedPrivateChat {
            for (user_id, _) in &wish.invites {
                users.insert(user_id.to_string(), json!(100));
            }
        }
    }
    // Creators stand above all levels, so closing the room for good can be kept from everybody else.
    let tombstone = if has_infinite_creators { 150 } else { 100 };
    let invite = if wish.preset == Preset::PublicChat {
        50
    } else {
        0
    };
    let defaults = json!({
        "ban": 50,
        "events": {
            "m.room.avatar": 50,
            "m.room.canonical_alias": 50,
            "m.room.encryption": 100,
            "m.room.history_visibility": 100,
            "m.room.name": 50,
            "m.room.power_levels": 100,
            "m.room.server_acl": 100,
            "m.room.tombstone": tombstone,
        },
        "events_default": 0,
        "historical": 100,
        "invite": invite,
        "kick": 50,
        "redact": 50,
        "state_default": 50,
        "users": users,
        "users_default": 0,
    });
    let mut content = canonical(&defaults);
    if let Some(overrides) = &wish.power_level_content_override {
        let overrides = Canonical::strict(overrides)
            .map_err(|_| bad("`power_level_content_override` must be canonical JSON"))?;
        content.object.extend(overrides.object);
    }
    Ok(content)
}

/// The state of a preset, in order.
pub(super) fn preset_state(preset: Preset) -> [(StateEventType, Canonical); 3] {
    let (join_rule, guest_access) = match preset {
        Preset::PrivateChat | Preset::TrustedPrivateChat => ("invite", "can_join"),
        Preset::PublicChat => ("public", "forbidden"),
    };
    [
        (
            StateEventType::RoomJoinRules,
            canonical(&json!({ "join_rule": join_rule })),
        ),
        (
            StateEventType::RoomHistoryVisibility,
            canonical(&json!({ "history_visibility": "shared" })),
        ),
        (
            StateEventType::RoomGuestAccess,
            canonical(&json!({ "guest_access": guest_access })),
        ),
    ]
}

/// The content of a topic in plain text.
pub(super) fn topic(text: &str) -> Canonical {
    canonical(&json!({ "topic": text, "m.topic": { "m.text": [{ "body": text }] } }))
}

fn canonical(value: &serde_json::Value) -> Canonical {
    Canonical::strict(&value.to_string()).expect("what is written here is canonical")
}

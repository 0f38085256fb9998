//! Just enough of power levels for queries; the authorisation rules themselves are applied where events are judged.

use std::collections::BTreeMap;

use ruma::{
    UserId,
    events::{StateEventType, TimelineEventType},
};
use serde::Deserialize;
use serde_json::Value;

use super::super::{event::RoomEvent, state::Room};

/// The level needed for state when the room does not say.
const STATE_DEFAULT: i64 = 50;

#[derive(Default, Deserialize)]
struct Levels {
    #[serde(default)]
    users: BTreeMap<String, Value>,
    users_default: Option<Value>,
    #[serde(default)]
    events: BTreeMap<String, Value>,
    state_default: Option<Value>,
}

/// A level; rooms of old versions may hold it as text.
fn level(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number
            .as_i64()
            .or_else(|| number.as_f64().map(|number| number as i64)),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// Whether the power levels let somebody send state of a type. Membership is not looked at.
pub(super) fn may_send_state(room: &Room, user_id: &UserId, event_type: &str) -> bool {
    let create = room.state_event(&StateEventType::RoomCreate, "");
    let creator = create.is_some_and(|create| is_creator(room, create, user_id));
    let privileged = room
        .rules
        .as_ref()
        .is_some_and(|rules| rules.authorization.explicitly_privilege_room_creators);
    if creator && privileged {
        return true;
    }
    let power = room
        .current
        .get(&(TimelineEventType::RoomPowerLevels, String::new()));
    let Some(power) = power else {
        // Without power levels the creator has 100, everybody else 0.
        return creator;
    };
    let levels: Levels = power.pdu.content_as().unwrap_or_default();
    let own = levels
        .users
        .get(user_id.as_str())
        .and_then(level)
        .or_else(|| levels.users_default.as_ref().and_then(level))
        .unwrap_or(0);
    let needed = levels
        .events
        .get(event_type)
        .and_then(level)
        .or_else(|| levels.state_default.as_ref().and_then(level))
        .unwrap_or(STATE_DEFAULT);
    own >= needed
}

fn is_creator(room: &Room, create: &RoomEvent, user_id: &UserId) -> bool {
    #[derive(Default, Deserialize)]
    struct Content {
        creator: Option<String>,
        #[serde(default)]
        additional_creators: Vec<String>,
    }
    let content: Content = create.pdu.content_as().unwrap_or_default();
    let rules = room.rules.as_ref().map(|rules| &rules.authorization);
    if rules.is_some_and(|rules| !rules.use_room_create_sender) {
        return content.creator.as_deref() == Some(user_id.as_str());
    }
    create.pdu.sender == user_id
        || (rules.is_some_and(|rules| rules.additional_room_creators)
            && content
                .additional_creators
                .iter()
                .any(|creator| creator == user_id.as_str()))
}

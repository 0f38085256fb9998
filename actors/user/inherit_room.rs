//! Take the settings of a room along into the one that replaces it: tags, direct chats and push rules (client-server API, "Room upgrades").
//!
//! Settings that the new room has already win, and those of the old room stay: it goes on to exist, and may be joined again.

use ruma::RoomId;
use serde_json::Value as JsonValue;

use super::{
    context::UserLimits, error::UserError, json, message::UserReply, set_account_data, state::User,
};
use crate::{env::JsonObject, kernel::Decision};

const TAG: &str = "m.tag";
const DIRECT: &str = "m.direct";
const PUSH_RULES: &str = "m.push_rules";

/// The kinds of push rules that may be about one room.
const KINDS: [&str; 3] = ["override", "room", "underride"];

pub(super) fn decide(
    user: &User,
    (from, to): (&RoomId, &RoomId),
    limits: &UserLimits,
) -> Result<Decision<User>, UserError> {
    user.open()?;
    let pieces = [
        (Some(to), TAG, tags(user, from, to)),
        (None, DIRECT, direct_chats(user, from, to)),
        (None, PUSH_RULES, push_rules(user, from, to)),
    ];
    let mut records = Vec::new();
    for (room_id, event_type, content) in pieces {
        let Some(content) = content else {
            continue;
        };
        let key = (room_id.map(RoomId::to_owned), event_type.to_owned());
        let content = JsonValue::Object(content).to_string();
        match set_account_data::decide(user, key, Some(content), limits) {
            Ok(decision) => records.extend(decision.records),
            // Nobody asked for it, so nobody is to be told: this piece stays behind.
            Err(UserError::TooLarge(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Decision::new(records, UserReply::Done))
}

fn data(user: &User, room_id: Option<&RoomId>, event_type: &str) -> Option<JsonObject> {
    json::object(user.account_data.json(room_id, event_type)?).ok()
}

/// The new room's tags with the old one's, if there is one to add.
fn tags(user: &User, from: &RoomId, to: &RoomId) -> Option<JsonObject> {
    let mut old = data(user, Some(from), TAG)?;
    let JsonValue::Object(old) = old.remove("tags")? else {
        return None;
    };
    let mut new = data(user, Some(to), TAG).unwrap_or_default();
    let tags = new
        .entry("tags")
        .or_insert_with(|| JsonValue::Object(JsonObject::new()))
        .as_object_mut()?;
    let known = tags.len();
    for (tag, content) in old {
        tags.entry(tag).or_insert(content);
    }
    (tags.len() > known).then_some(new)
}

/// The direct chats with the new room wherever the old one is, if it is missing somewhere.
fn direct_chats(user: &User, from: &RoomId, to: &RoomId) -> Option<JsonObject> {
    let mut chats = data(user, None, DIRECT)?;
    let mut changed = false;
    for rooms in chats.values_mut().filter_map(JsonValue::as_array_mut) {
        let has = |room_id: &RoomId| rooms.iter().any(|room| room == room_id.as_str());
        if has(from) && !has(to) {
            rooms.push(to.as_str().into());
            changed = true;
        }
    }
    changed.then_some(chats)
}

/// The push rules with copies of those about the old room, if there are any.
fn push_rules(user: &User, from: &RoomId, to: &RoomId) -> Option<JsonObject> {
    let mut content = data(user, None, PUSH_RULES)?;
    let global = content.get_mut("global")?.as_object_mut()?;
    let mut changed = false;
    for kind in KINDS {
        let Some(rules) = global.get_mut(kind).and_then(JsonValue::as_array_mut) else {
            continue;
        };
        if rules.iter().any(|rule| rule["rule_id"] == to.as_str()) {
            continue;
        }
        let is_room = kind == "room";
        let copy = rules.iter().enumerate().find_map(|(at, rule)| {
            let copy = copied_rule(rule, is_room, (from, to))?;
            Some((at, copy))
        });
        if let Some((at, copy)) = copy {
            rules.insert(at, copy);
            changed = true;
        }
    }
    changed.then_some(content)
}

/// A rule for the new room, from one that is about the old room. Its ID is the new room's.
fn copied_rule(
    rule: &JsonValue,
    is_room: bool,
    (from, to): (&RoomId, &RoomId),
) -> Option<JsonValue> {
    let mut copy = rule.clone();
    let mut concerns = is_room && rule["rule_id"] == from.as_str();
    let conditions = copy.get_mut("conditions").and_then(JsonValue::as_array_mut);
    for condition in conditions.into_iter().flatten() {
        if condition["key"] == "room_id" && condition["pattern"] == from.as_str() {
            condition["pattern"] = to.as_str().into();
            concerns = true;
        }
    }
    copy["rule_id"] = to.as_str().into();
    concerns.then_some(copy)
}

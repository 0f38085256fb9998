//! Set or remove a tag of a room. Tags are the room's account data `m.tag`.

use ruma::OwnedRoomId;
use serde_json::Value as JsonValue;

use super::{
    context::UserLimits, error::UserError, json, message::UserReply, set_account_data, state::User,
};
use crate::{env::JsonObject, kernel::Decision, room::message::JsonText};

const TAG: &str = "m.tag";
const TAG_BYTES_MAX: usize = 255;

pub(super) fn decide(
    user: &User,
    room_id: OwnedRoomId,
    (tag, content): (String, Option<JsonText>),
    limits: &UserLimits,
) -> Result<Decision<User>, UserError> {
    user.open()?;
    if tag.is_empty() || tag.len() > TAG_BYTES_MAX {
        return Err(UserError::InvalidParam(
            "tag must have 1 to 255 bytes".to_owned(),
        ));
    }
    let mut data = user
        .account_data
        .json(Some(&room_id), TAG)
        .and_then(|json| json::object(json).ok())
        .unwrap_or_default();
    let tags = data
        .entry("tags")
        .or_insert_with(|| JsonValue::Object(JsonObject::new()));
    if !tags.is_object() {
        *tags = JsonValue::Object(JsonObject::new());
    }
    if let JsonValue::Object(tags) = tags {
        match content {
            Some(content) => {
                let content = json::object(&content)?;
                tags.insert(tag, JsonValue::Object(content));
            }
            None if tags.remove(&tag).is_none() => {
                return Ok(Decision::unchanged(UserReply::Done));
            }
            None => {}
        }
        if tags.len() > limits.tags_max {
            return Err(UserError::TooLarge("too many tags".to_owned()));
        }
    }
    let content = JsonValue::Object(data).to_string();
    set_account_data::decide(user, (Some(room_id), TAG.to_owned()), Some(content), limits)
}

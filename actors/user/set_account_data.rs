//! Set or remove account data.

use playhouse_schema::record::user::{RoomAccountDataSet, UserRecord};
use ruma::OwnedRoomId;

use super::{context::UserLimits, error::UserError, json, message::UserReply, state::User};
use crate::{kernel::Decision, room::message::JsonText};

const TYPE_BYTES_MAX: usize = 255;

pub(super) fn decide(
    user: &User,
    (room_id, event_type): (Option<OwnedRoomId>, String),
    content: Option<JsonText>,
    limits: &UserLimits,
) -> Result<Decision<User>, UserError> {
    user.open()?;
    if event_type.is_empty() || event_type.len() > TYPE_BYTES_MAX {
        return Err(UserError::InvalidParam(
            "type must have 1 to 255 bytes".to_owned(),
        ));
    }
    let known = user.account_data.get(room_id.as_deref(), &event_type);
    let known_bytes = known.map(|item| item.json.as_ref().map_or(0, |json| json.len()));
    match &content {
        Some(content) => {
            json::object(content)?;
            let added = match known_bytes {
                Some(bytes) => content.len().saturating_sub(bytes),
                None => content.len() + event_type.len(),
            };
            if content.len() > limits.account_data_bytes_max
                || user.account_data.bytes() + added > limits.account_data_total_bytes_max
            {
                return Err(UserError::TooLarge("account data is too large".to_owned()));
            }
        }
        None if known.is_none_or(|item| item.json.is_none()) => {
            return Ok(Decision::unchanged(UserReply::Done));
        }
        None => {}
    }
    let records = vec![record(room_id, event_type, content)];
    Ok(Decision::new(records, UserReply::Done))
}

/// The record of a change.
fn record(
    room_id: Option<OwnedRoomId>,
    event_type: String,
    content: Option<JsonText>,
) -> UserRecord {
    let data = json::named(event_type, content);
    match room_id {
        Some(room_id) => UserRecord::RoomAccountDataSet(RoomAccountDataSet {
            room_id: room_id.to_string(),
            data,
        }),
        None => UserRecord::AccountDataSet(data),
    }
}

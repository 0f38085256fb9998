//! Note that a room is a direct chat with somebody (client-server API, "Direct Messaging").

use ruma::{RoomId, UserId};
use serde_json::Value as JsonValue;

use super::{
    context::UserLimits, error::UserError, json, message::UserReply, set_account_data, state::User,
};
use crate::kernel::Decision;

const DIRECT: &str = "m.direct";

pub(super) fn decide(
    user: &User,
    (room_id, with): (&RoomId, &UserId),
    limits: &UserLimits,
) -> Result<Decision<User>, UserError> {
    user.open()?;
    let unchanged = || Decision::unchanged(UserReply::Done);
    let known = user.account_data.json(None, DIRECT);
    let mut chats = known
        .and_then(|json| json::object(json).ok())
        .unwrap_or_default();
    let rooms = chats
        .entry(with.as_str())
        .or_insert_with(|| JsonValue::Array(Vec::new()));
    // What a client has put there in another form is its own affair.
    let Some(rooms) = rooms.as_array_mut() else {
        return Ok(unchanged());
    };
    if rooms.iter().any(|room| room == room_id.as_str()) {
        return Ok(unchanged());
    }
    rooms.push(room_id.as_str().into());
    let content = JsonValue::Object(chats).to_string();
    match set_account_data::decide(user, (None, DIRECT.to_owned()), Some(content), limits) {
        // Nobody asked for it, so nobody is to be told.
        Err(UserError::TooLarge(_)) => Ok(unchanged()),
        decision => decision,
    }
}

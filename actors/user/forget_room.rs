//! Forget a room.

use playhouse_schema::{
    address::Sequence,
    record::user::{RoomForgotten, UserRecord},
};
use ruma::RoomId;

use super::{context::UserLimits, error::UserError, message::UserReply, state::User};
use crate::kernel::Decision;

/// A room that was forgotten once may be forgotten again, after the user was in it in between.
pub(super) fn decide(
    user: &User,
    (room_id, until): (&RoomId, Sequence),
    limits: &UserLimits,
) -> Result<Decision<User>, UserError> {
    user.open()?;
    if !user.forgotten.contains_key(room_id) && user.forgotten.len() >= limits.forgotten_rooms_max {
        return Err(UserError::TooLarge("too many forgotten rooms".to_owned()));
    }
    if user.has_forgotten(room_id, until) {
        return Ok(Decision::unchanged(UserReply::Done));
    }
    let records = vec![UserRecord::RoomForgotten(RoomForgotten {
        room_id: room_id.to_string(),
        until,
    })];
    Ok(Decision::new(records, UserReply::Done))
}

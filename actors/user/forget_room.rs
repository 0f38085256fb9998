//! Forget a room.

use playhouse_schema::record::user::UserRecord;
use ruma::RoomId;

use super::{context::UserLimits, error::UserError, message::UserReply, state::User};
use crate::kernel::Decision;

/// A room that was forgotten once may be forgotten again, after the user was in it in between: hence a record each time.
pub(super) fn decide(
    user: &User,
    room_id: &RoomId,
    limits: &UserLimits,
) -> Result<Decision<User>, UserError> {
    user.open()?;
    if !user.forgotten.contains_key(room_id) && user.forgotten.len() >= limits.forgotten_rooms_max {
        return Err(UserError::TooLarge("too many forgotten rooms".to_owned()));
    }
    let records = vec![UserRecord::RoomForgotten(room_id.to_string())];
    Ok(Decision::new(records, UserReply::Done))
}

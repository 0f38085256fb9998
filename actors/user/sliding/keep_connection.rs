//! Keep what a connection of sliding sync was told of its rooms.

use playhouse_schema::record::user::{SlidingSyncKept, UserRecord};

use crate::{
    kernel::Decision,
    user::{UserError, message::UserReply, state::User},
};

pub(in crate::user) fn decide(
    user: &User,
    kept: SlidingSyncKept,
) -> Result<Decision<User>, UserError> {
    user.open()?;
    let device_id = kept.device_id.as_str().into();
    if user.device(device_id).is_none() {
        return Err(UserError::NotFound);
    }
    // An answer whose beginning has ended meanwhile would end in a token that nobody knows.
    let is_known = kept.parent.is_none_or(|parent| {
        let rooms = user.connections.rooms(device_id, &kept.connection, parent);
        rooms.is_some()
    });
    if !is_known {
        return Err(UserError::UnknownPos);
    }
    let records = vec![UserRecord::SlidingSyncKept(kept)];
    Ok(Decision::new(records, UserReply::Done))
}

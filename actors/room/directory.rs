//! Entering and leaving the public room list.

use playhouse_schema::record::room::{DirectoryVisibilitySet, RoomRecord};
use ruma::{
    UserId,
    events::{StateEventType, room::member::MembershipState},
};

use super::{Room, RoomError, RoomReply, auth::power::Power};
use crate::kernel::Decision;

/// Judges a change of the directory visibility. A user needs the power to send `m.room.canonical_alias`; the server itself (`None`) needs none.
pub(super) fn decide(
    room: &Room,
    user_id: Option<&UserId>,
    public: bool,
) -> Result<Decision<Room>, RoomError> {
    if !room.exists() {
        return Err(RoomError::UnknownRoom);
    }
    if let Some(user_id) = user_id {
        let power = Power::of(room)?;
        let is_joined = room.membership(user_id) == Some(MembershipState::Join);
        let needed = power.needed_for_state(&StateEventType::RoomCanonicalAlias);
        if !is_joined || power.of_user(user_id) < needed {
            return Err(RoomError::Forbidden(
                "listing a room needs the power to set its canonical alias".to_owned(),
            ));
        }
    }
    if room.public == public {
        return Ok(Decision::unchanged(RoomReply::Done));
    }
    let record = RoomRecord::DirectoryVisibilitySet(DirectoryVisibilitySet { public });
    Ok(Decision::new(vec![record], RoomReply::Done))
}

//! Who of a server rules a room: who can give others power in it.

use ruma::{
    OwnedUserId, ServerName, UserId,
    events::{StateEventType, room::member::MembershipState},
};

use super::super::{auth::power::Power, error::RoomError, state::Room};

/// Answers.
pub(super) fn rulers(room: &Room, server: &ServerName) -> Result<Vec<OwnedUserId>, RoomError> {
    let power = Power::of(room)?;
    let needed = power.needed_for_state(&StateEventType::RoomPowerLevels);
    let rules = |user_id: &&UserId| {
        user_id.server_name() == server
            && room.membership(user_id) == Some(MembershipState::Join)
            && power.of_user(user_id) >= needed
    };
    let mut rulers: Vec<&UserId> = power.named_users().into_iter().filter(rules).collect();
    rulers.sort_by_key(|user_id| std::cmp::Reverse(power.of_user(user_id)));
    Ok(rulers.into_iter().map(ToOwned::to_owned).collect())
}

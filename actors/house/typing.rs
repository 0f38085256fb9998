//! Who types.

use ruma::{RoomId, UserId, events::room::member::MembershipState};

use super::{House, HouseError};
use crate::room::{RoomError, RoomSignal};

/// The longest time that one notice of typing counts.
const TYPING_MS_MAX: u64 = 120_000;

impl House {
    /// A user types for so many milliseconds, or has stopped (0). The user must be joined.
    pub async fn set_typing(
        &self,
        room_id: &RoomId,
        user_id: &UserId,
        timeout_ms: u64,
    ) -> Result<(), HouseError> {
        let access = self.room_access(room_id, user_id).await?;
        if access.membership != Some(MembershipState::Join) {
            return Err(RoomError::Forbidden("the user is not in this room".to_owned()).into());
        }
        let signal = RoomSignal::Typing {
            user_id: user_id.to_owned(),
            timeout_ms: timeout_ms.min(TYPING_MS_MAX),
        };
        self.room_signal(room_id, signal);
        Ok(())
    }
}

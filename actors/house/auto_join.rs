//! New accounts come into rooms, as the operator wants it. Nothing of it makes fail what it follows.

use ruma::{OwnedRoomAliasId, OwnedRoomId, UserId};

use super::{House, HouseError, JoinWish, RoomWish};
use crate::{alias::AliasError, room::message::Preset};

/// Rooms into which new accounts come.
#[derive(Clone, Debug, Default)]
pub struct AutoJoin {
    /// Which; guests do not.
    pub rooms: Vec<OwnedRoomAliasId>,
    /// Those of this server that are missing are made, by whoever comes first.
    pub create: bool,
}

impl House {
    /// Takes a new account into the rooms that are meant for all.
    pub(super) async fn join_rooms_for_all(&self, user_id: &UserId) {
        for alias in &self.config.auto_join.rooms {
            if let Err(error) = self.join_or_make(alias, user_id).await {
                tracing::warn!(%alias, %user_id, %error, "a new account does not come into a room");
            }
        }
    }

    async fn join_or_make(
        &self,
        alias: &OwnedRoomAliasId,
        user_id: &UserId,
    ) -> Result<OwnedRoomId, HouseError> {
        let joined = self.join(wish(alias.clone().into(), user_id)).await;
        let makes = self.config.auto_join.create && self.is_local(alias.server_name());
        match joined {
            Err(HouseError::Alias(AliasError::Unknown)) if makes => {}
            outcome => return outcome,
        }
        let made = self
            .create_room(RoomWish {
                creator: user_id.to_owned(),
                version: None,
                preset: Some(Preset::PublicChat),
                creation_content: None,
                alias_localpart: Some(alias.alias().to_owned()),
                name: None,
                topic: None,
                invites: Vec::new(),
                is_direct: false,
                public: false,
                initial_state: Vec::new(),
                power_level_content_override: None,
            })
            .await;
        match made {
            Ok(made) => Ok(made.room_id),
            // Somebody else was first.
            Err(HouseError::Alias(AliasError::Taken(_))) => {
                self.join(wish(alias.clone().into(), user_id)).await
            }
            Err(error) => Err(error),
        }
    }
}

fn wish(room: ruma::OwnedRoomOrAliasId, user_id: &UserId) -> JoinWish {
    JoinWish {
        user_id: user_id.to_owned(),
        guest: false,
        room,
        via: Vec::new(),
        reason: None,
        extra_content: None,
    }
}

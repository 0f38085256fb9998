//! What happens by itself, as the operator wants it: new accounts come into rooms, invites are accepted. Nothing of it makes fail what it follows.

use ruma::{OwnedRoomAliasId, OwnedRoomId, RoomId, UserId};

use super::{House, HouseError, JoinWish, RoomWish};
use crate::{alias::AliasError, room::message::Preset};

/// What happens by itself.
#[derive(Clone, Debug, Default)]
pub struct AutoJoin {
    /// Rooms into which new accounts come; guests do not.
    pub rooms: Vec<OwnedRoomAliasId>,
    /// Those of this server that are missing are made, by whoever comes first.
    pub create: bool,
    /// Which invites of users of this server are accepted for their users.
    pub invites: AutoAccept,
}

/// Invites that are accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AutoAccept {
    /// None.
    #[default]
    Off,
    /// Those to direct chats.
    Direct,
    /// All.
    All,
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

    /// Accepts an invite for its user, if invites like it are accepted.
    pub(super) async fn accept_invite(&self, room_id: &RoomId, user_id: &UserId, is_direct: bool) {
        let accepts = match self.config.auto_join.invites {
            AutoAccept::Off => false,
            AutoAccept::Direct => is_direct,
            AutoAccept::All => true,
        };
        if !accepts || !self.is_local(user_id.server_name()) {
            return;
        }
        if let Err(error) = self.join(wish(room_id.to_owned().into(), user_id)).await {
            tracing::info!(%room_id, %user_id, %error, "an invite is not accepted by itself");
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

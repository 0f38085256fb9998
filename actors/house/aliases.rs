//! Names of rooms.

use playhouse_schema::models::{
    Model as _,
    aliases::{Aliases, of_room},
};
use ruma::{OwnedRoomAliasId, OwnedRoomId, OwnedServerName, RoomAliasId, RoomId, UserId};

use super::{House, HouseError};
use crate::{
    alias::{AliasCommand, AliasError, AliasQuery, AliasTarget},
    room::{RoomCommand, RoomError},
};

/// What an alias names.
#[derive(Clone, Debug)]
pub struct ResolvedAlias {
    /// The room.
    pub room_id: OwnedRoomId,
    /// Servers that know it.
    pub servers: Vec<OwnedServerName>,
}

/// An alias that names a room which was never made: the making was cut off. After so long it may be taken again.
const ABANDONED_MS: u64 = 5 * 60 * 1000;

impl House {
    /// Where an alias points, by the word of its server. `AliasError::Unknown` when nowhere, `Unreachable` when that server is.
    pub async fn resolve_alias(&self, alias: &RoomAliasId) -> Result<ResolvedAlias, HouseError> {
        if !self.is_local(alias.server_name()) {
            return self.resolve_remote_alias(alias).await;
        }
        let target = self.alias_target(alias).await?;
        match self.room_access(&target.room_id, &target.creator).await {
            Ok(access) => {
                let mut servers = access.servers;
                if servers.is_empty() {
                    servers.push(self.env.server_name().to_owned());
                }
                Ok(ResolvedAlias {
                    room_id: target.room_id,
                    servers,
                })
            }
            Err(HouseError::Room(RoomError::UnknownRoom)) => Err(AliasError::Unknown.into()),
            Err(error) => Err(error),
        }
    }

    /// Points an alias to a room. The user must be joined. `AliasError::Taken` when it points somewhere.
    pub async fn create_alias(
        &self,
        alias: &RoomAliasId,
        room_id: &RoomId,
        user_id: &UserId,
    ) -> Result<(), HouseError> {
        let access = self.room_access(room_id, user_id).await?;
        if access.membership != Some(ruma::events::room::member::MembershipState::Join) {
            return Err(RoomError::Forbidden("the user is not in this room".to_owned()).into());
        }
        self.take_alias(alias, room_id, user_id).await
    }

    /// Removes an alias: its creator may, and who may send `m.room.canonical_alias` in its room, and a server administrator.
    pub async fn delete_alias(
        &self,
        alias: &RoomAliasId,
        user_id: &UserId,
        admin: bool,
    ) -> Result<(), HouseError> {
        let target = self.alias_target(alias).await?;
        let may = admin || target.creator == user_id || {
            match self.room_access(&target.room_id, user_id).await {
                Ok(access) => access.may_set_aliases,
                Err(HouseError::Room(RoomError::UnknownRoom)) => false,
                Err(error) => return Err(error),
            }
        };
        if !may {
            return Err(HouseError::Forbidden(
                "only its creator or a moderator may delete an alias".to_owned(),
            ));
        }
        let command = AliasCommand::Delete {
            room_id: target.room_id,
        };
        self.alias_command(alias, command).await?;
        Ok(())
    }

    /// The aliases of this server that point to a room. The user must be joined, or the room world readable.
    pub async fn room_aliases(
        &self,
        room_id: &RoomId,
        user_id: &UserId,
    ) -> Result<Vec<OwnedRoomAliasId>, HouseError> {
        let access = self.room_access(room_id, user_id).await?;
        let joined = access.membership == Some(ruma::events::room::member::MembershipState::Join);
        if !joined && !access.world_readable {
            return Err(RoomError::Forbidden("the user is not in this room".to_owned()).into());
        }
        self.local_aliases(room_id).await
    }

    /// Enters a room in the public room list, or takes it out.
    pub async fn set_directory_visibility(
        &self,
        room_id: &RoomId,
        user_id: &UserId,
        public: bool,
    ) -> Result<(), HouseError> {
        let command = RoomCommand::SetDirectoryVisibility {
            user_id: Some(user_id.to_owned()),
            public,
        };
        self.room_command(room_id, command).await?;
        Ok(())
    }

    /// Takes an alias for a room, whoever asks.
    pub(super) async fn take_alias(
        &self,
        alias: &RoomAliasId,
        room_id: &RoomId,
        user_id: &UserId,
    ) -> Result<(), HouseError> {
        self.check_local_alias(alias)?;
        let create = AliasCommand::Create {
            room_id: room_id.to_owned(),
            creator: user_id.to_owned(),
        };
        let taken = match self.alias_command(alias, create).await {
            Ok(_) => return Ok(()),
            Err(AliasError::Taken(target)) => target,
            Err(error) => return Err(error.into()),
        };
        if !self.is_abandoned(&taken).await? {
            return Err(AliasError::Taken(taken).into());
        }
        let repoint = AliasCommand::Repoint {
            from: taken.room_id,
            to: room_id.to_owned(),
            creator: Some(user_id.to_owned()),
        };
        self.alias_command(alias, repoint).await?;
        Ok(())
    }

    /// The aliases of this server that point to a room.
    pub(super) async fn local_aliases(
        &self,
        room_id: &RoomId,
    ) -> Result<Vec<OwnedRoomAliasId>, HouseError> {
        self.models.caught_up(Aliases::NAME).await?;
        let aliases = of_room(&**self.models.store(), room_id.as_str()).await?;
        let aliases = aliases.into_iter();
        Ok(aliases
            .filter_map(|alias| OwnedRoomAliasId::try_from(alias.alias).ok())
            .collect())
    }

    /// Points an alias of the one room to the other. Nothing happens when it does already, or points elsewhere.
    pub(super) async fn repoint_alias(
        &self,
        alias: &RoomAliasId,
        from: &RoomId,
        to: &RoomId,
    ) -> Result<(), HouseError> {
        let command = AliasCommand::Repoint {
            from: from.to_owned(),
            to: to.to_owned(),
            creator: None,
        };
        match self.alias_command(alias, command).await {
            Ok(_) | Err(AliasError::Unknown) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Gives back an alias that was taken for a room.
    pub(super) async fn release_alias(
        &self,
        alias: &RoomAliasId,
        room_id: &RoomId,
    ) -> Result<(), HouseError> {
        let command = AliasCommand::Delete {
            room_id: room_id.to_owned(),
        };
        self.alias_command(alias, command).await?;
        Ok(())
    }

    /// Whether this alias is one of ours and points to this room.
    pub(super) async fn alias_points_to(
        &self,
        alias: &OwnedRoomAliasId,
        room_id: &RoomId,
    ) -> Result<bool, HouseError> {
        match self.alias_target(alias).await {
            Ok(target) => Ok(target.room_id == room_id),
            Err(HouseError::Alias(AliasError::Unknown) | HouseError::Unreachable(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn alias_target(&self, alias: &RoomAliasId) -> Result<AliasTarget, HouseError> {
        if !self.is_local(alias.server_name()) {
            return Err(HouseError::Unreachable(alias.server_name().to_owned()));
        }
        Ok(self.alias_query(alias, AliasQuery::Resolve).await?)
    }

    async fn is_abandoned(&self, target: &AliasTarget) -> Result<bool, HouseError> {
        if self.env.now_ms().saturating_sub(target.at_ms) < ABANDONED_MS {
            return Ok(false);
        }
        match self.room_access(&target.room_id, &target.creator).await {
            Ok(_) => Ok(false),
            Err(HouseError::Room(RoomError::UnknownRoom)) => Ok(true),
            Err(error) => Err(error),
        }
    }

    fn check_local_alias(&self, alias: &RoomAliasId) -> Result<(), HouseError> {
        if !self.is_local(alias.server_name()) {
            return Err(HouseError::InvalidParam(
                "an alias of another server cannot be set here".to_owned(),
            ));
        }
        if alias.as_str().len() > 255 {
            return Err(HouseError::InvalidParam(
                "an alias has at most 255 bytes".to_owned(),
            ));
        }
        Ok(())
    }
}

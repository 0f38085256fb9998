//! Coming into rooms: join and knock, by room ID or alias.

use ruma::{
    OwnedRoomId, OwnedRoomOrAliasId, OwnedServerName, OwnedUserId, RoomAliasId, RoomId, UserId,
    events::room::member::MembershipState,
};

use super::{House, HouseError, journey::is_for_others, surprise};
use crate::room::{
    RoomAnswer, RoomCommand, RoomError, RoomQuery, RoomReply,
    message::{ChangeMembership, JsonText, MembershipAction, RoomAccess},
};

/// Somebody wants to come into a room.
#[derive(Clone, Debug)]
pub struct JoinWish {
    /// Who.
    pub user_id: OwnedUserId,
    /// The user is a guest.
    pub guest: bool,
    /// Where to.
    pub room: OwnedRoomOrAliasId,
    /// Servers that may help.
    pub via: Vec<OwnedServerName>,
    /// The reason given.
    pub reason: Option<String>,
    /// Further keys of the member event's content, as a JSON object.
    pub extra_content: Option<JsonText>,
}

impl House {
    /// Joins a room, through other servers if need be; succeeds again when already joined.
    pub async fn join(&self, wish: JoinWish) -> Result<OwnedRoomId, HouseError> {
        let (room_id, servers) = self.room_and_servers(&wish.room, &wish.via).await?;
        self.refuse_blocked(&room_id).await?;
        let footing = self.footing(&room_id, &wish.user_id).await?;
        if footing.is_here {
            let joined = self.join_here(room_id.clone(), wish.clone()).await;
            if !is_for_others(&joined, &footing) {
                return joined;
            }
        }
        self.join_through_others(room_id, (wish, servers)).await
    }

    /// Joins a room that this server can speak for.
    pub(super) async fn join_here(
        &self,
        room_id: OwnedRoomId,
        wish: JoinWish,
    ) -> Result<OwnedRoomId, HouseError> {
        let access = self.room_access(&room_id, &wish.user_id).await?;
        let invited = access.membership == Some(MembershipState::Invite);
        let joined = access.membership == Some(MembershipState::Join);
        let restriction_met = if invited || joined || access.allowed_rooms.is_empty() {
            false
        } else {
            self.is_member_of_any(&wish.user_id, &access.allowed_rooms)
                .await?
        };
        let user_id = wish.user_id.clone();
        let joined = self
            .come_in(room_id, wish, MembershipAction::Join, restriction_met)
            .await?;
        self.end_join_of(&joined, &user_id).await;
        Ok(joined)
    }

    /// Knocks on a room, through other servers if need be.
    pub async fn knock(&self, wish: JoinWish) -> Result<OwnedRoomId, HouseError> {
        let (room_id, servers) = self.room_and_servers(&wish.room, &wish.via).await?;
        self.refuse_blocked(&room_id).await?;
        let footing = self.footing(&room_id, &wish.user_id).await?;
        if footing.is_here {
            return self
                .come_in(room_id, wish, MembershipAction::Knock, false)
                .await;
        }
        self.knock_through_others(room_id, (wish, servers)).await
    }

    /// What joining and finding a room depend on, and the membership of `user_id`. `RoomError::UnknownRoom` when it is not here.
    pub async fn room_access(
        &self,
        room_id: &RoomId,
        user_id: &UserId,
    ) -> Result<RoomAccess, HouseError> {
        let query = RoomQuery::Access {
            user_id: user_id.to_owned(),
        };
        match self.room_query(room_id, query).await? {
            RoomAnswer::Access(access) => Ok(*access),
            _ => Err(surprise("Access")),
        }
    }

    /// The room that an ID or an alias names.
    pub async fn room_of(
        &self,
        room: &OwnedRoomOrAliasId,
        _via: &[OwnedServerName],
    ) -> Result<OwnedRoomId, HouseError> {
        if let Ok(alias) = <&RoomAliasId>::try_from(room.as_str()) {
            return Ok(self.resolve_alias(alias).await?.room_id);
        }
        RoomId::parse(room.as_str()).map_err(|error| HouseError::InvalidParam(error.to_string()))
    }

    /// The room that an ID or an alias names, and servers that may know it: those of the caller first.
    pub(super) async fn room_and_servers(
        &self,
        room: &OwnedRoomOrAliasId,
        via: &[OwnedServerName],
    ) -> Result<(OwnedRoomId, Vec<OwnedServerName>), HouseError> {
        let mut servers = via.to_vec();
        if let Ok(alias) = <&RoomAliasId>::try_from(room.as_str()) {
            let resolved = self.resolve_alias(alias).await?;
            servers.extend(resolved.servers);
            return Ok((resolved.room_id, servers));
        }
        Ok((self.room_of(room, via).await?, servers))
    }

    async fn come_in(
        &self,
        room_id: OwnedRoomId,
        wish: JoinWish,
        action: MembershipAction,
        restriction_met: bool,
    ) -> Result<OwnedRoomId, HouseError> {
        let change = ChangeMembership {
            sender: wish.user_id.clone(),
            profile: self.member_profile(&wish.user_id).await?,
            target: wish.user_id,
            action,
            reason: wish.reason,
            extra_content: wish.extra_content,
            restriction_met,
            guest: wish.guest,
        };
        let command = RoomCommand::ChangeMembership(Box::new(change));
        match self.room_command(&room_id, command).await? {
            RoomReply::Sent(_) | RoomReply::Done => Ok(room_id),
        }
    }

    /// Whether a user is joined to one of some rooms; those that are not here do not count.
    pub(super) async fn is_member_of_any(
        &self,
        user_id: &UserId,
        rooms: &[OwnedRoomId],
    ) -> Result<bool, HouseError> {
        for room_id in rooms {
            match self.room_access(room_id, user_id).await {
                Ok(access) if access.membership == Some(MembershipState::Join) => return Ok(true),
                Ok(_) | Err(HouseError::Room(RoomError::UnknownRoom)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }
}

//! Users and rooms as the followers that change memberships see them.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use playhouse_schema::address::Entity;
use ruma::{OwnedRoomId, RoomId, UserId, events::room::member::MembershipState};

use super::profile::as_member_profile;
use crate::{
    followers::members::Members,
    kernel::{Directory, Unavailable},
    room::{
        Room, RoomCommand, RoomError,
        message::{ChangeMembership, MemberProfile, MembershipAction},
    },
    user::{User, UserAnswer, UserError, UserQuery},
};

/// The directories of a house, without the house: followers end before it does.
pub(super) struct HouseMembers {
    pub(super) rooms: Arc<Directory<Room>>,
    pub(super) users: Arc<Directory<User>>,
}

impl HouseMembers {
    async fn ask(&self, user_id: &UserId, query: UserQuery) -> Result<UserAnswer, UserError> {
        let entity = Entity::user(user_id.as_str());
        self.users.query(entity, query).await
    }

    async fn change(
        &self,
        room_id: &RoomId,
        user_id: &UserId,
        (action, profile): (MembershipAction, MemberProfile),
    ) -> Result<(), RoomError> {
        let change = ChangeMembership {
            sender: user_id.to_owned(),
            target: user_id.to_owned(),
            action,
            reason: None,
            profile,
            extra_content: None,
            restriction_met: false,
            guest: false,
        };
        let command = RoomCommand::ChangeMembership(Box::new(change));
        let entity = Entity::room(room_id.as_str());
        match self.rooms.command(entity, command).await {
            // Meanwhile the user has left, or was banned: there is nothing to do.
            Ok(_) | Err(RoomError::Forbidden(_) | RoomError::UnknownRoom) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl Members for HouseMembers {
    fn profile<'a>(
        &'a self,
        user_id: &'a UserId,
    ) -> BoxFuture<'a, Result<MemberProfile, UserError>> {
        Box::pin(async move {
            match self.ask(user_id, UserQuery::Profile).await? {
                UserAnswer::Profile(fields) => Ok(as_member_profile(&fields)),
                _ => Err(Unavailable::Stopped.into()),
            }
        })
    }

    fn rooms<'a>(
        &'a self,
        user_id: &'a UserId,
    ) -> BoxFuture<'a, Result<Vec<(OwnedRoomId, MembershipState)>, UserError>> {
        Box::pin(async move {
            match self.ask(user_id, UserQuery::Rooms).await? {
                UserAnswer::Rooms(rooms) => Ok(rooms),
                _ => Err(Unavailable::Stopped.into()),
            }
        })
    }

    fn refresh_profile<'a>(
        &'a self,
        room_id: &'a RoomId,
        user_id: &'a UserId,
        profile: MemberProfile,
    ) -> BoxFuture<'a, Result<(), RoomError>> {
        let change = (MembershipAction::RefreshProfile, profile);
        Box::pin(self.change(room_id, user_id, change))
    }

    fn leave<'a>(
        &'a self,
        room_id: &'a RoomId,
        user_id: &'a UserId,
    ) -> BoxFuture<'a, Result<(), RoomError>> {
        let change = (MembershipAction::Leave, MemberProfile::default());
        Box::pin(self.change(room_id, user_id, change))
    }
}

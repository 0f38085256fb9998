//! Users and rooms as the followers that change memberships see them.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use playhouse_schema::{
    address::{Entity, Sequence},
    models::{Model as _, users},
    port::LogStore,
};
use ruma::{
    EventId, OwnedRoomId, OwnedServerName, OwnedUserId, RoomId, UserId,
    events::room::member::MembershipState,
};
use serde::Deserialize;

use super::profile::as_member_profile;
use crate::{
    followers::{leavings::Forgetter, members::Members, models::Models},
    kernel::{Directory, Unavailable},
    room::{
        Room, RoomAnswer, RoomCommand, RoomError, RoomQuery,
        message::{ChangeMembership, MemberProfile, MembershipAction, Reader, RoomAccess},
    },
    user::{User, UserAnswer, UserCommand, UserError, UserQuery},
};

/// The directories of a house, without the house: followers end before it does.
pub(super) struct HouseMembers {
    pub(super) rooms: Arc<Directory<Room>>,
    pub(super) users: Arc<Directory<User>>,
    pub(super) store: Arc<dyn LogStore>,
    pub(super) models: Arc<Models>,
    pub(super) server_name: OwnedServerName,
}

impl HouseMembers {
    async fn ask(&self, user_id: &UserId, query: UserQuery) -> Result<UserAnswer, UserError> {
        let entity = Entity::user(user_id.as_str());
        self.users.query(entity, query).await
    }

    async fn access(&self, room_id: &RoomId, user_id: &UserId) -> Result<RoomAccess, RoomError> {
        let query = RoomQuery::Access {
            user_id: user_id.to_owned(),
        };
        match self.ask_room(room_id, query).await? {
            RoomAnswer::Access(access) => Ok(*access),
            _ => Err(Unavailable::Stopped.into()),
        }
    }

    /// Whether what a user says is to reach nobody.
    async fn is_shadow_banned(&self, user_id: &UserId) -> Result<bool, RoomError> {
        match self.ask(user_id, UserQuery::Account).await {
            Ok(UserAnswer::Account(account)) => Ok(account.shadow_banned),
            Ok(_) | Err(UserError::UnknownUser) => Ok(false),
            Err(UserError::Unavailable(error)) => Err(error.into()),
            Err(error) => Err(RoomError::Store(error.to_string())),
        }
    }

    async fn ask_room(&self, room_id: &RoomId, query: RoomQuery) -> Result<RoomAnswer, RoomError> {
        let entity = Entity::room(room_id.as_str());
        self.rooms.query(entity, query).await
    }

    async fn find_unwelcome_guests(&self, room_id: &RoomId) -> Result<Vec<OwnedUserId>, RoomError> {
        let query = RoomQuery::JoinedMembers { reader: None };
        let RoomAnswer::Joined(joined) = self.ask_room(room_id, query).await? else {
            return Err(Unavailable::Stopped.into());
        };
        let local: Vec<_> = joined
            .into_iter()
            .map(|(user_id, _)| user_id)
            .filter(|user_id| *user_id.server_name() == *self.server_name)
            .collect();
        match local.first() {
            Some(first) if !self.access(room_id, first).await?.guests_can_join => {}
            _ => return Ok(Vec::new()),
        }
        let mut guests = Vec::new();
        for user_id in local {
            if self.has_guest_account(&user_id).await? {
                guests.push(user_id);
            }
        }
        Ok(guests)
    }

    /// From the read model, so that not every member has to be woken.
    async fn has_guest_account(&self, user_id: &UserId) -> Result<bool, RoomError> {
        let caught_up = self.models.caught_up(users::Users::NAME).await;
        caught_up.map_err(|error| RoomError::Store(error.to_string()))?;
        let user = users::get(&*self.store.models(), user_id.as_str()).await;
        let user = user.map_err(|error| RoomError::Store(error.to_string()))?;
        Ok(user.is_some_and(|user| user.guest))
    }

    /// Whether a member event made a user joined who was not before.
    async fn has_come(
        &self,
        room_id: &RoomId,
        user_id: &UserId,
        event_id: &EventId,
    ) -> Result<bool, RoomError> {
        #[derive(Default, Deserialize)]
        struct Told {
            #[serde(default)]
            unsigned: Unsigned,
        }
        #[derive(Default, Deserialize)]
        struct Unsigned {
            prev_content: Option<Content>,
        }
        #[derive(Deserialize)]
        struct Content {
            membership: Option<MembershipState>,
        }
        let query = RoomQuery::Event {
            reader: Reader {
                user_id: user_id.to_owned(),
                device_id: None,
                ignored: Vec::new(),
                forgotten: None,
                sees_all: false,
            },
            event_id: event_id.to_owned(),
        };
        let event = match self.ask_room(room_id, query).await {
            Ok(RoomAnswer::Event(event)) => event,
            Ok(_) => return Err(Unavailable::Stopped.into()),
            Err(RoomError::NotFound | RoomError::Forbidden(_)) => return Ok(false),
            Err(error) => return Err(error),
        };
        let told: Told = serde_json::from_slice(&event).unwrap_or_default();
        let before = told.unsigned.prev_content;
        Ok(before.and_then(|before| before.membership) != Some(MembershipState::Join))
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

/// A room's error as that of a flow for a user; whether trying again may help stays the same.
fn of_user(error: RoomError) -> UserError {
    match error {
        RoomError::Unavailable(error) => error.into(),
        RoomError::Store(reason) => UserError::Store(reason),
        RoomError::Broken(reason) => UserError::Broken(reason),
        error => UserError::Room(error.to_string()),
    }
}

impl Forgetter for HouseMembers {
    fn forget<'a>(
        &'a self,
        user_id: &'a UserId,
        (room_id, until): (&'a RoomId, Sequence),
    ) -> BoxFuture<'a, Result<(), UserError>> {
        let command = UserCommand::ForgetRoom {
            room_id: room_id.to_owned(),
            until,
        };
        let entity = Entity::user(user_id.as_str());
        Box::pin(async move { self.users.command(entity, command).await.map(|_| ()) })
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
        Box::pin(async move {
            if self.is_shadow_banned(user_id).await? {
                return Ok(());
            }
            self.change(room_id, user_id, change).await
        })
    }

    fn unwelcome_guests<'a>(
        &'a self,
        room_id: &'a RoomId,
    ) -> BoxFuture<'a, Result<Vec<OwnedUserId>, RoomError>> {
        Box::pin(self.find_unwelcome_guests(room_id))
    }

    fn is_guest<'a>(&'a self, user_id: &'a UserId) -> BoxFuture<'a, Result<bool, RoomError>> {
        Box::pin(self.has_guest_account(user_id))
    }

    fn is_closed<'a>(&'a self, user_id: &'a UserId) -> BoxFuture<'a, Result<bool, UserError>> {
        Box::pin(async move {
            match self.ask(user_id, UserQuery::Account).await? {
                UserAnswer::Account(account) => Ok(account.deactivated),
                _ => Err(Unavailable::Stopped.into()),
            }
        })
    }

    fn predecessor<'a>(
        &'a self,
        room_id: &'a RoomId,
        user_id: &'a UserId,
    ) -> BoxFuture<'a, Result<Option<OwnedRoomId>, UserError>> {
        Box::pin(async move {
            let access = self.access(room_id, user_id).await.map_err(of_user)?;
            Ok(access.predecessor)
        })
    }

    fn take_along<'a>(
        &'a self,
        user_id: &'a UserId,
        (from, to): (&'a RoomId, &'a RoomId),
        event_id: &'a EventId,
    ) -> BoxFuture<'a, Result<(), UserError>> {
        Box::pin(async move {
            let has_come = self.has_come(to, user_id, event_id).await;
            if !has_come.map_err(of_user)? {
                return Ok(());
            }
            let command = UserCommand::InheritRoom {
                from: from.to_owned(),
                to: to.to_owned(),
            };
            let entity = Entity::user(user_id.as_str());
            match self.users.command(entity, command).await {
                // An account that has closed since has no settings.
                Ok(_) | Err(UserError::Deactivated | UserError::UnknownUser) => Ok(()),
                Err(error) => Err(error),
            }
        })
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

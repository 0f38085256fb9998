//! Changes of membership that somebody in the room (or on the way in) asks for: leave, invite, kick, ban, unban, forget.

use playhouse_schema::models::{
    Model as _,
    memberships::{self, Memberships},
};
use ruma::{
    OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, UserId, events::room::member::MembershipState,
};

use super::{House, HouseError, surprise};
use crate::{
    room::{
        RoomCommand, RoomError, RoomReply,
        message::{ChangeMembership, JsonText, MemberProfile, MembershipAction},
    },
    user::{UserAnswer, UserCommand, UserError, UserQuery, invite_filter::InviteVerdict},
};

/// Somebody wants to change somebody's membership.
#[derive(Clone, Debug)]
pub struct MemberWish {
    /// Where.
    pub room_id: OwnedRoomId,
    /// Who.
    pub sender: OwnedUserId,
    /// Whose.
    pub target: OwnedUserId,
    /// The reason given.
    pub reason: Option<String>,
    /// Further keys of the member event's content, as a JSON object.
    pub extra_content: Option<JsonText>,
    /// The sender is a guest.
    pub guest: bool,
}

impl MemberWish {
    /// What is to happen to a user's membership by the user's own deed, of which nothing else is said.
    pub(super) fn of_oneself(room_id: &RoomId, user_id: &UserId) -> Self {
        Self {
            room_id: room_id.to_owned(),
            sender: user_id.to_owned(),
            target: user_id.to_owned(),
            reason: None,
            extra_content: None,
            guest: false,
        }
    }
}

impl House {
    /// Invites a user; succeeds again when already invited.
    pub async fn invite(&self, wish: MemberWish, is_direct: bool) -> Result<(), HouseError> {
        self.refuse_blocked(&wish.room_id).await?;
        let profile = self.invitee_profile(&wish.sender, &wish.target).await?;
        let action = MembershipAction::Invite { is_direct };
        if !self.is_local(wish.target.server_name()) {
            let room_id = wish.room_id.clone();
            let change = change_of(wish, action, profile);
            return self.invite_elsewhere(&room_id, change).await;
        }
        self.change_membership(wish, action, profile).await?;
        Ok(())
    }

    /// Leaves a room, rejects an invite, or retracts a knock; target is the sender.
    pub async fn leave(&self, wish: MemberWish) -> Result<(), HouseError> {
        self.check_rejection(&wish.room_id, &wish.sender).await?;
        self.leave_anyway(wish).await
    }

    /// Invites a local user who may not want it.
    pub(super) async fn invite_unasked(&self, wish: MemberWish) -> Result<(), HouseError> {
        let profile = self.member_profile(&wish.target).await?;
        let action = MembershipAction::Invite { is_direct: false };
        self.change_membership(wish, action, profile).await?;
        Ok(())
    }

    /// Leaves also what must not be left.
    pub(super) async fn leave_anyway(&self, wish: MemberWish) -> Result<(), HouseError> {
        let footing = self.footing(&wish.room_id, &wish.sender).await?;
        if !footing.is_here {
            return self.leave_through_others(wish).await;
        }
        // Otherwise whoever goes on with a join of the user brings the user in again.
        let was_joining = self.give_up_join(&wish.room_id, &wish.sender).await?;
        match self.leave_here(wish).await {
            Err(HouseError::Room(RoomError::Forbidden(_))) if was_joining => Ok(()),
            left => left,
        }
    }

    /// The same in a room that this server can speak for.
    pub(super) async fn leave_here(&self, wish: MemberWish) -> Result<(), HouseError> {
        self.change(wish, MembershipAction::Leave).await
    }

    /// Kicks a user.
    pub async fn kick(&self, wish: MemberWish) -> Result<(), HouseError> {
        self.send_away(wish, MembershipAction::Kick).await
    }

    /// Bans a user.
    pub async fn ban(&self, wish: MemberWish) -> Result<(), HouseError> {
        self.send_away(wish, MembershipAction::Ban).await
    }

    /// Nor does the user come in by a join that is under way.
    async fn send_away(
        &self,
        wish: MemberWish,
        action: MembershipAction,
    ) -> Result<(), HouseError> {
        let (room_id, target) = (wish.room_id.clone(), wish.target.clone());
        self.change(wish, action).await?;
        self.give_up_join_of(&room_id, &target).await;
        Ok(())
    }

    /// Lifts a ban.
    pub async fn unban(&self, wish: MemberWish) -> Result<(), HouseError> {
        self.change(wish, MembershipAction::Unban).await
    }

    /// Forgets a room that the user is not in. `StillInRoom` when in it, `RoomError::UnknownRoom` when never was.
    pub async fn forget(&self, room_id: &RoomId, user_id: &UserId) -> Result<(), HouseError> {
        if let Some(()) = self.forget_told(room_id, user_id).await? {
            return Ok(());
        }
        let access = self.room_access(room_id, user_id).await?;
        match access.membership {
            Some(MembershipState::Join | MembershipState::Invite | MembershipState::Knock) => {
                Err(HouseError::StillInRoom)
            }
            Some(_) => {
                let command = UserCommand::ForgetRoom {
                    room_id: room_id.to_owned(),
                    until: access.member_sequence,
                };
                self.user_command(user_id, command).await?;
                Ok(())
            }
            None => Err(RoomError::UnknownRoom.into()),
        }
    }

    /// The rooms a local user is joined to, as of everything that was acknowledged before. Where nobody can tell how far the log is, or the model does not come
    /// after it, it is what the user has heard of.
    pub async fn joined_rooms(&self, user_id: &UserId) -> Result<Vec<OwnedRoomId>, HouseError> {
        if let Err(error) = self.models.caught_up(Memberships::NAME).await {
            tracing::warn!(%error, "the list of a user's rooms goes by what the user has heard of");
            return self.rooms_heard_of(user_id).await;
        }
        let known = memberships::of_user(&**self.models.store(), user_id.as_str()).await?;
        let joined = known.iter().filter(|row| row.membership == "join");
        Ok(joined
            .filter_map(|row| RoomId::parse(&row.room_id).ok())
            .collect())
    }

    /// The rooms a local user is joined to, as far as the user has heard of it.
    async fn rooms_heard_of(&self, user_id: &UserId) -> Result<Vec<OwnedRoomId>, HouseError> {
        match self.user_query(user_id, UserQuery::Rooms).await? {
            UserAnswer::Rooms(rooms) => Ok(rooms
                .into_iter()
                .filter(|(_, membership)| *membership == MembershipState::Join)
                .map(|(room_id, _)| room_id)
                .collect()),
            _ => Err(surprise("Rooms")),
        }
    }

    /// What of a local user's profile goes into member events. Empty when there is none to read.
    pub async fn member_profile(&self, user_id: &UserId) -> Result<MemberProfile, HouseError> {
        if !self.is_local(user_id.server_name()) {
            return Ok(MemberProfile::default());
        }
        match self.profile(user_id).await {
            Ok(fields) => Ok(super::profile::as_member_profile(&fields)),
            Err(HouseError::User(UserError::UnknownUser | UserError::NotFound)) => {
                Ok(MemberProfile::default())
            }
            Err(error) => Err(error),
        }
    }

    /// Refuses an invite that a local user does not want, for inviters near and far. What the user ignores goes through.
    pub async fn check_invite(&self, inviter: &UserId, user_id: &UserId) -> Result<(), HouseError> {
        let query = UserQuery::JudgeInvite(inviter.to_owned());
        match self.user_query(user_id, query).await {
            Ok(UserAnswer::Invite(InviteVerdict::Block)) => {
                Err(HouseError::InviteBlocked { by_list: false })
            }
            Ok(UserAnswer::Invite(InviteVerdict::BlockByList)) => {
                Err(HouseError::InviteBlocked { by_list: true })
            }
            // Who does not exist, or no longer, blocks nobody.
            Ok(UserAnswer::Invite(_)) | Err(UserError::UnknownUser | UserError::Deactivated) => {
                Ok(())
            }
            Ok(_) => Err(surprise("JudgeInvite")),
            Err(error) => Err(error.into()),
        }
    }

    /// The profile of somebody to be invited, who must be within reach and may not want it.
    pub(super) async fn invitee_profile(
        &self,
        inviter: &UserId,
        user_id: &UserId,
    ) -> Result<MemberProfile, HouseError> {
        if !self.is_local(user_id.server_name()) {
            // What that server says of it is for it to say.
            return Ok(MemberProfile::default());
        }
        self.check_invite(inviter, user_id).await?;
        self.member_profile(user_id).await
    }

    async fn change(&self, wish: MemberWish, action: MembershipAction) -> Result<(), HouseError> {
        self.change_membership(wish, action, MemberProfile::default())
            .await?;
        Ok(())
    }

    async fn change_membership(
        &self,
        wish: MemberWish,
        action: MembershipAction,
        profile: MemberProfile,
    ) -> Result<Option<OwnedEventId>, HouseError> {
        let room_id = wish.room_id.clone();
        let change = change_of(wish, action, profile);
        let command = RoomCommand::ChangeMembership(Box::new(change));
        match self.room_command(&room_id, command).await? {
            RoomReply::Sent(event_id) => Ok(Some(event_id)),
            RoomReply::Done => Ok(None),
        }
    }
}

fn change_of(
    wish: MemberWish,
    action: MembershipAction,
    profile: MemberProfile,
) -> ChangeMembership {
    ChangeMembership {
        sender: wish.sender,
        target: wish.target,
        action,
        reason: wish.reason,
        profile,
        extra_content: wish.extra_content,
        restriction_met: false,
        guest: wish.guest,
    }
}

//! Closing accounts, and opening them again.

use ruma::{RoomId, UserId};

use super::{House, HouseError, surprise};
use crate::{
    backup::BackupCommand,
    passes::{PassCommand, PassKind},
    room::{
        RoomCommand, RoomError,
        message::{ChangeMembership, MemberProfile, MembershipAction},
    },
    user::{UserCommand, UserError, UserReply},
};

/// All that lets somebody in without a password.
const PASSES: [PassKind; 4] = [
    PassKind::Login,
    PassKind::Code,
    PassKind::Browser,
    PassKind::CrossSigningReset,
];

/// The memberships that are left.
const INSIDE: [&str; 3] = ["join", "invite", "knock"];

impl House {
    /// Closes an account. Sessions end at once; leaving the rooms follows from the log. Doing it again changes nothing.
    pub async fn deactivate(&self, user_id: &UserId, erase: bool) -> Result<(), HouseError> {
        let command = UserCommand::Deactivate { erase };
        match self.user_command(user_id, command).await {
            Ok(_) | Err(UserError::Deactivated) => {}
            Err(error) => return Err(error.into()),
        }
        self.clear_closed(user_id).await
    }

    /// Opens a closed account again, with a password or without one; nothing comes back of what it held. `false` when it is open: then nothing changes, and
    /// its password stays.
    ///
    /// What follows from closing is done first, whatever has become of it: nothing may be left for later that would hit the account once it is open.
    pub async fn reopen(
        &self,
        user_id: &UserId,
        password: Option<String>,
    ) -> Result<bool, HouseError> {
        if !self.account(user_id).await?.deactivated {
            return Ok(false);
        }
        self.clear_closed(user_id).await?;
        for kind in PASSES {
            let command = PassCommand::EndAll(kind);
            self.pass_command(user_id, command).await?;
        }
        self.leave_all(user_id).await?;
        let password_hash = match password {
            Some(password) => Some(self.hash_password(password).await?),
            None => None,
        };
        let command = UserCommand::Reopen { password_hash };
        match self.user_command(user_id, command).await? {
            UserReply::Count(count) => Ok(count > 0),
            _ => Err(surprise("Reopen")),
        }
    }

    /// After the account, so that nobody can begin another backup; a repeated call makes up for one that was cut off here.
    async fn clear_closed(&self, user_id: &UserId) -> Result<(), HouseError> {
        self.backup_command(user_id, BackupCommand::DeleteAll)
            .await?;
        self.clear_delayed_events(user_id).await?;
        self.release_threepids(user_id).await
    }

    /// Leaves what a closed account is still in, as the follower does that may not have come so far.
    async fn leave_all(&self, user_id: &UserId) -> Result<(), HouseError> {
        for known in self.memberships_of(user_id).await? {
            if !INSIDE.contains(&known.membership.as_str()) {
                continue;
            }
            let Ok(room_id) = <&RoomId>::try_from(known.room_id.as_str()) else {
                continue;
            };
            let command = RoomCommand::ChangeMembership(Box::new(leaving(user_id)));
            match self.room_command(room_id, command).await {
                // Meanwhile it was left, or the user was banned: there is nothing to do.
                Ok(_) | Err(RoomError::Forbidden(_) | RoomError::UnknownRoom) => {}
                Err(error)
                    if error.is_lasting() || matches!(error, RoomError::NotRecommended { .. }) =>
                {
                    tracing::warn!(%user_id, %room_id, %error, "a room is not left by an account that is opened again");
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

fn leaving(user_id: &UserId) -> ChangeMembership {
    ChangeMembership {
        sender: user_id.to_owned(),
        target: user_id.to_owned(),
        action: MembershipAction::Leave,
        reason: None,
        profile: MemberProfile::default(),
        extra_content: None,
        restriction_met: false,
        guest: false,
    }
}

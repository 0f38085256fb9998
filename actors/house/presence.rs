//! Presence.

use ruma::{UserId, presence::PresenceState};

use super::{House, HouseError, surprise};
use crate::user::{UserAnswer, UserCommand, UserError, UserQuery, message::Presence};

impl House {
    /// Presence of a user, for somebody who shares a room with them. `Forbidden` else.
    pub async fn presence(&self, asker: &UserId, user_id: &UserId) -> Result<Presence, HouseError> {
        if asker != user_id && !self.shares_a_room(asker, user_id).await? {
            return Err(HouseError::Forbidden(
                "presence is told only to users who share a room".to_owned(),
            ));
        }
        match self.user_query(user_id, UserQuery::Presence).await {
            Ok(UserAnswer::Presence(presence)) => Ok(presence),
            Ok(_) => Err(surprise("Presence")),
            Err(error) => Err(error.into()),
        }
    }

    /// Sets a user's presence by hand.
    pub async fn set_presence(
        &self,
        user_id: &UserId,
        presence: PresenceState,
        status_msg: Option<String>,
    ) -> Result<(), HouseError> {
        let command = UserCommand::SetPresence {
            presence,
            status_msg,
        };
        self.user_command(user_id, command).await?;
        Ok(())
    }

    /// Whether two users are joined to the same room.
    pub async fn shares_a_room(&self, one: &UserId, other: &UserId) -> Result<bool, HouseError> {
        let mine = self.joined_rooms(one).await?;
        let theirs = match self.joined_rooms(other).await {
            Ok(rooms) => rooms,
            Err(HouseError::User(UserError::UnknownUser)) => return Ok(false),
            Err(error) => return Err(error),
        };
        let mine: std::collections::BTreeSet<_> = mine.into_iter().collect();
        Ok(theirs.iter().any(|room_id| mine.contains(room_id)))
    }
}

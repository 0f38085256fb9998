//! Presence.

use std::collections::BTreeSet;

use playhouse_schema::models::{
    Model as _,
    memberships::{Memberships, of_user},
};
use ruma::{OwnedUserId, UserId, presence::PresenceState};

use super::{House, HouseError, surprise};
use crate::user::{UserAnswer, UserCommand, UserError, UserQuery, message::Presence};

impl House {
    /// Presence of a user, for somebody who shares a room with them or observes everybody. `Forbidden` else.
    pub async fn presence(&self, asker: &UserId, user_id: &UserId) -> Result<Presence, HouseError> {
        let may_know = asker == user_id || self.elsewhere.board.observes(asker);
        if !may_know && !self.shares_a_room(asker, user_id).await? {
            return Err(HouseError::Forbidden(
                "presence is told only to users who share a room".to_owned(),
            ));
        }
        if !self.is_local(user_id.server_name()) {
            return Ok(self.remote_presence(user_id));
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

    /// Which of these users are joined to a room of this one, or are this one.
    pub async fn who_shares_a_room(
        &self,
        one: &UserId,
        others: Vec<OwnedUserId>,
    ) -> Result<BTreeSet<OwnedUserId>, HouseError> {
        self.models.caught_up(Memberships::NAME).await?;
        let store = &**self.models.store();
        let rooms_of = async |user_id: OwnedUserId| {
            let found = of_user(store, user_id.as_str()).await?;
            let joined = found.into_iter().filter(|found| found.membership == "join");
            Ok::<BTreeSet<_>, HouseError>(joined.map(|found| found.room_id).collect())
        };
        let mine = rooms_of(one.to_owned()).await?;
        let mut shared = BTreeSet::new();
        for other in others {
            if other == one || !mine.is_disjoint(&rooms_of(other.clone()).await?) {
                shared.insert(other);
            }
        }
        Ok(shared)
    }

    /// Whether two users are joined to the same room.
    pub async fn shares_a_room(&self, one: &UserId, other: &UserId) -> Result<bool, HouseError> {
        if !self.is_local(other.server_name()) {
            let shared = self.who_shares_a_room(one, vec![other.to_owned()]).await?;
            return Ok(!shared.is_empty());
        }
        let mine = self.joined_rooms(one).await?;
        let theirs = match self.joined_rooms(other).await {
            Ok(rooms) => rooms,
            Err(HouseError::User(UserError::UnknownUser)) => return Ok(false),
            Err(error) => return Err(error),
        };
        let mine: BTreeSet<_> = mine.into_iter().collect();
        Ok(theirs.iter().any(|room_id| mine.contains(room_id)))
    }
}

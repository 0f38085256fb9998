//! Presence of other servers' users, as their servers tell it. Kept in memory only: whoever is not told of for a while was last seen as known.

use std::sync::Arc;

use playhouse_schema::models::memberships;
use ruma::{OwnedRoomId, OwnedUserId, RoomId, ServerName, UserId, presence::PresenceState};
use serde::Deserialize;

use super::{House, HouseError};
use crate::user::{feed::surroundings::Board as _, message::Presence};

/// So many users of one event are looked at.
const PUSHES_MAX: usize = 200;

/// A status has at most so many characters.
const STATUS_CHARS_MAX: usize = 500;

/// In so many of a user's rooms others hear of it.
const ROOMS_MAX: usize = 1_000;

#[derive(Deserialize)]
pub(super) struct Pushes {
    push: Vec<Push>,
}

#[derive(Deserialize)]
struct Push {
    user_id: OwnedUserId,
    presence: PresenceState,
    #[serde(default)]
    status_msg: Option<String>,
    #[serde(default)]
    last_active_ago: u64,
    #[serde(default)]
    currently_active: bool,
}

impl House {
    /// A server tells who of its users is there. Lost when nobody here listens.
    pub(super) async fn receive_presence(&self, origin: &ServerName, told: Pushes) {
        let now_ms = self.env.now_ms();
        for push in told.push.into_iter().take(PUSHES_MAX) {
            let is_theirs = push.user_id.server_name() == origin;
            let is_known = matches!(
                push.presence,
                PresenceState::Online | PresenceState::Unavailable | PresenceState::Offline
            );
            if !is_theirs || !is_known {
                continue;
            }
            let status = push.status_msg.filter(|status| !status.is_empty());
            let presence = Presence {
                currently_active: push.currently_active && push.presence == PresenceState::Online,
                presence: push.presence,
                status_msg: status.map(|text| text.chars().take(STATUS_CHARS_MAX).collect()),
                active_ms: now_ms.saturating_sub(push.last_active_ago),
            };
            match self.rooms_of_other(&push.user_id).await {
                Ok(rooms) if !rooms.is_empty() => {
                    let board = &self.elsewhere.board;
                    board.announce_presence(&push.user_id, Arc::new(presence), &rooms);
                }
                Ok(_) => {}
                Err(error) => tracing::debug!(%origin, %error, "presence is passed over"),
            }
        }
    }

    async fn rooms_of_other(&self, user_id: &UserId) -> Result<Vec<OwnedRoomId>, HouseError> {
        let found = memberships::of_user(&**self.models.store(), user_id.as_str()).await?;
        let joined = found.iter().filter(|found| found.membership == "join");
        Ok(joined
            .filter_map(|found| RoomId::parse(&found.room_id).ok())
            .take(ROOMS_MAX)
            .collect())
    }

    /// What is known of the presence of another server's user.
    pub(super) fn remote_presence(&self, user_id: &UserId) -> Presence {
        let known = self.elsewhere.board.presence_of(user_id);
        known.map_or_else(
            || Presence {
                presence: PresenceState::Offline,
                status_msg: None,
                active_ms: 0,
                currently_active: false,
            },
            |known| (*known).clone(),
        )
    }
}

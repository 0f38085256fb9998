//! Rooms of other servers that are too large to be joined, as the operator sees it.

use std::time::Duration;

use ruma::{OwnedServerName, RoomId, UserId};
use serde::Deserialize;

use super::Footing;
use crate::{
    house::{
        House, HouseError, MemberWish,
        peers::{Patience, segment},
    },
    user::UserError,
};

/// So many state events are what servers tell each other as a complexity of 1.
pub const UNIT: f64 = 500.0;

/// How others are asked.
const PATIENCE: Patience = Patience {
    within: Duration::from_secs(10),
    bytes_max: 64 * 1024,
};

/// So many of them.
const SERVERS_MAX: usize = 3;

/// Which rooms of other servers are joined.
#[derive(Clone, Debug, Default)]
pub struct RemoteRooms {
    /// Those with so many state events at most; `None` all.
    pub state_events_max: Option<u64>,
    /// What those are told who may not join.
    pub message: String,
    /// Administrators of this server join any.
    pub any_for_administrators: bool,
}

/// A room's size as it is told.
#[derive(Deserialize)]
struct Complexity {
    v1: f64,
}

/// What came of asking.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Size {
    /// It may be joined.
    Fine,
    /// Nobody has told: to be looked at afterwards.
    Unknown,
}

impl House {
    /// Refuses a room that is too large for a user, as far as others tell.
    pub(super) async fn size_elsewhere(
        &self,
        room_id: &RoomId,
        (user_id, footing): (&UserId, &Footing),
        servers: &[OwnedServerName],
    ) -> Result<Size, HouseError> {
        let Some(most) = self.config.remote_rooms.state_events_max else {
            return Ok(Size::Fine);
        };
        if footing.is_here || self.joins_any(user_id).await? {
            return Ok(Size::Fine);
        }
        let path = format!(
            "/_matrix/federation/unstable/rooms/{}/complexity",
            segment(room_id.as_str())
        );
        for server in servers.iter().take(SERVERS_MAX) {
            let asked = self.ask_peer::<Complexity>(server, path.clone(), PATIENCE);
            match asked.await {
                Ok(told) if told.v1 * UNIT > most as f64 => return Err(self.too_large()),
                Ok(_) => return Ok(Size::Fine),
                Err(error) => tracing::debug!(%server, %room_id, %error, "tells no complexity"),
            }
        }
        Ok(Size::Unknown)
    }

    /// Leaves a room that has turned out to be too large.
    pub(super) async fn leave_if_too_large(
        &self,
        room_id: &RoomId,
        user_id: &UserId,
    ) -> Result<(), HouseError> {
        let Some(most) = self.config.remote_rooms.state_events_max else {
            return Ok(());
        };
        let standing = self.room_seen_by_peer(self.env.server_name(), room_id);
        let (_, standing) = standing.await?;
        if standing.state_events <= most {
            return Ok(());
        }
        let wish = MemberWish::of_oneself(room_id, user_id);
        self.leave_here(wish).await?;
        Err(self.too_large())
    }

    async fn joins_any(&self, user_id: &UserId) -> Result<bool, HouseError> {
        if !self.config.remote_rooms.any_for_administrators {
            return Ok(false);
        }
        match self.account(user_id).await {
            Ok(account) => Ok(account.admin),
            Err(HouseError::User(UserError::UnknownUser)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn too_large(&self) -> HouseError {
        HouseError::TooComplex(self.config.remote_rooms.message.clone())
    }
}

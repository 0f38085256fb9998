//! Syncing.

use bytes::Bytes;
use playhouse_schema::address::{Entity, Position};
use ruma::{RoomId, UserId};

use super::{House, HouseError, surprise};
use crate::user::{
    UserAnswer, UserQuery,
    message::{SlidingQuery, SyncQuery},
    sync::token::{Parsed, SyncToken},
};

/// Counts a sync as long as it waits or is being built.
struct Open(metrics::Gauge);

impl Open {
    fn begin(kind: &'static str) -> Self {
        let open = metrics::gauge!("playhouse_syncs_open", "kind" => kind);
        open.increment(1.0);
        Self(open)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

impl House {
    /// The complete body of a sync answer: at once, or as soon as there is something to tell, or when the query's time is up.
    pub async fn sync(&self, user_id: &UserId, query: SyncQuery) -> Result<Bytes, HouseError> {
        let _open = Open::begin("sync");
        match self
            .user_query(user_id, UserQuery::Sync(Box::new(query)))
            .await?
        {
            UserAnswer::Synced(body) => Ok(body),
            _ => Err(surprise("Sync")),
        }
    }

    /// The complete body of a sliding sync's answer, as [`House::sync`].
    pub async fn slide(&self, user_id: &UserId, query: SlidingQuery) -> Result<Bytes, HouseError> {
        let _open = Open::begin("sliding_sync");
        let query = UserQuery::SlidingSync(Box::new(query));
        match self.user_query(user_id, query).await? {
            UserAnswer::Synced(body) => Ok(body),
            _ => Err(surprise("SlidingSync")),
        }
    }

    /// Up to which position of a room's shard a sync token tells; `None` when it is no token of this server.
    pub fn sync_position(&self, room_id: &RoomId, token: &str) -> Option<Position> {
        let layout = self.store.layout();
        let shard = layout.shard_of(&Entity::room(room_id.as_str()));
        match SyncToken::parse(token, layout) {
            Ok(Parsed::Token(token)) => Some(token.room_position(shard.number)),
            _ => None,
        }
    }
}

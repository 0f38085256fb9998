//! Syncing.

use bytes::Bytes;
use ruma::UserId;

use super::{House, HouseError, surprise};
use crate::user::{UserAnswer, UserQuery, message::SyncQuery};

impl House {
    /// The complete body of a sync answer: at once, or as soon as there is something to tell, or when the query's time is up.
    pub async fn sync(&self, user_id: &UserId, query: SyncQuery) -> Result<Bytes, HouseError> {
        match self
            .user_query(user_id, UserQuery::Sync(Box::new(query)))
            .await?
        {
            UserAnswer::Synced(body) => Ok(body),
            _ => Err(surprise("Sync")),
        }
    }
}

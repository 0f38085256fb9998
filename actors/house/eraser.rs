//! How the records of an erased account are replaced.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use playhouse_schema::{
    address::{Entity, Sequence},
    port::{EntityRange, LogStore},
};
use ruma::UserId;

use crate::{
    followers::{erasures::Eraser, models::Models},
    kernel::Directory,
    user::{User, UserCommand, UserError, tombstone},
};

/// So many records are read and replaced at once: each costs a note in the same transaction.
const PAGE_RECORDS: usize = 200;

/// The users of a house and where their records are, without the house: followers end before it does.
pub(super) struct HouseEraser {
    pub(super) users: Arc<Directory<User>>,
    pub(super) store: Arc<dyn LogStore>,
    pub(super) models: Arc<Models>,
    /// After each page of records.
    pub(super) pause: Duration,
}

impl HouseEraser {
    async fn replace_all(&self, user_id: &UserId, up_to: Sequence) -> Result<(), UserError> {
        let entity = Entity::user(user_id.as_str());
        let mut from = 1;
        loop {
            let range = EntityRange {
                from,
                to: up_to,
                backwards: false,
                limit: PAGE_RECORDS,
            };
            let page = self.store.read_entity(&entity, range).await?;
            let Some(last) = page.last().map(|record| record.sequence) else {
                return Ok(());
            };
            let private: Vec<_> = page
                .iter()
                .filter_map(|record| Some((record.sequence, tombstone(record)?)))
                .collect();
            if !private.is_empty() {
                let command = UserCommand::EraseHistory(private);
                self.users.command(entity.clone(), command).await?;
                tokio::time::sleep(self.pause).await;
            }
            from = last + 1;
        }
    }
}

impl Eraser for HouseEraser {
    fn erase<'a>(
        &'a self,
        user_id: &'a UserId,
        up_to: Sequence,
    ) -> BoxFuture<'a, Result<(), UserError>> {
        Box::pin(self.replace_all(user_id, up_to))
    }

    fn scrub<'a>(&'a self, user_id: &'a UserId) -> BoxFuture<'a, Result<(), UserError>> {
        Box::pin(async move {
            let entity = Entity::user(user_id.as_str());
            self.store.drop_snapshot(&entity).await?;
            // What is derived of it goes a little later.
            let caught_up = self.models.all_caught_up().await;
            caught_up.map_err(|error| UserError::Store(error.to_string()))?;
            self.store.scrub().await?;
            Ok(())
        })
    }
}

//! What an account held that was closed with the wish to be erased is taken out of the log, and then off the disk.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use playhouse_schema::{
    address::{Family, Sequence},
    port::{LogStore, StoreError, StoredRecord},
    record::{
        codec::Record as _,
        user::{Deactivated, UserRecord},
    },
};
use ruma::{OwnedUserId, UserId};

use super::{
    members::insist,
    task::{Handled, Handler, Running, Stop, Stopped, follow, park},
};
use crate::{user::UserError, writers::Tail};

/// Its name among the cursors.
const NAME: &str = "erasures";

/// Who can take out records.
pub trait Eraser: Send + Sync + 'static {
    /// Replaces everything private in a closed account's records up to this one. Safe to repeat.
    fn erase<'a>(
        &'a self,
        user_id: &'a UserId,
        up_to: Sequence,
    ) -> BoxFuture<'a, Result<(), UserError>>;

    /// Leaves nothing of it in what was derived from the log, nor in the space that was freed.
    fn scrub<'a>(&'a self, user_id: &'a UserId) -> BoxFuture<'a, Result<(), UserError>>;
}

/// Starts it.
pub async fn start(
    source: (Arc<dyn LogStore>, Arc<Tail>),
    eraser: Arc<dyn Eraser>,
) -> Result<Running, StoreError> {
    follow(source, NAME, Family::Users, Erasures(eraser)).await
}

struct Erasures(Arc<dyn Eraser>);

impl Handler for Erasures {
    fn handle<'a>(
        &'a mut self,
        records: &'a [StoredRecord],
        stop: &'a mut Stop,
    ) -> BoxFuture<'a, Result<Handled, Stopped>> {
        Box::pin(async move {
            let mut handled = Handled::default();
            for record in records {
                let Some(user_id) = erased_user(record) else {
                    continue;
                };
                handled.acted = true;
                let eraser = &self.0;
                let erased = insist(stop, || eraser.erase(&user_id, record.sequence)).await?;
                let done = match erased {
                    Ok(()) => insist(stop, || eraser.scrub(&user_id)).await?,
                    Err(error) => Err(error),
                };
                if let Err(error) = done {
                    handled.parked.push(park(NAME, record, &error));
                }
            }
            Ok(handled)
        })
    }
}

fn erased_user(stored: &StoredRecord) -> Option<OwnedUserId> {
    if stored.entity.prefix() != "user" {
        return None;
    }
    match UserRecord::decode(stored) {
        Ok(Some(UserRecord::Deactivated(Deactivated { erase: true }))) => {
            UserId::parse(stored.entity.name()).ok()
        }
        _ => None,
    }
}

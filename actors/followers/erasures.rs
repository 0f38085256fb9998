//! What an account held that was closed with the wish to be erased is taken out of the log, and then off the disk.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use playhouse_schema::{
    address::{Family, Sequence},
    port::{StoreError, StoredRecord},
    record::{
        codec::Record as _,
        user::{Deactivated, UserRecord},
    },
};
use ruma::{OwnedUserId, UserId};

use super::{
    errand::{Errand, Outcome, run_errands, user_of},
    members::insist,
    task::{Running, Source, Stop, Stopped},
};
use crate::user::UserError;

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
pub async fn start(source: Source, eraser: Arc<dyn Eraser>) -> Result<Running, StoreError> {
    run_errands(source, Erasures(eraser)).await
}

struct Erasures(Arc<dyn Eraser>);

impl Errand for Erasures {
    const NAME: &'static str = "erasures";
    const FAMILY: Family = Family::Users;
    type Subject = (OwnedUserId, Sequence);

    fn subject(&self, stored: &StoredRecord) -> Option<Self::Subject> {
        let user_id = user_of(stored)?;
        let record = UserRecord::decode(stored).ok()??;
        matches!(record, UserRecord::Deactivated(Deactivated { erase: true }))
            .then_some((user_id, stored.sequence))
    }

    fn run<'a>(
        &'a mut self,
        (user_id, up_to): Self::Subject,
        stop: &'a mut Stop,
    ) -> BoxFuture<'a, Result<Outcome, Stopped>> {
        Box::pin(async move {
            let eraser = &self.0;
            let done = match insist(stop, || eraser.erase(&user_id, up_to)).await? {
                Ok(()) => insist(stop, || eraser.scrub(&user_id)).await?,
                Err(error) => Err(error),
            };
            Ok(done.map_err(|error| error.to_string()))
        })
    }
}

//! After the log was restored from a backup: what has happened in shared rooms since then is asked of the other servers in them.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use playhouse_schema::{
    address::Family,
    port::{StoreError, StoredRecord},
    record::{
        codec::Record as _,
        restore::{self, RestoreRecord, Restored},
    },
};

use super::{
    errand::{Errand, Outcome, run_errands},
    task::{Running, Source, Stop, Stopped},
};

/// Who can ask other servers.
pub trait Recoverer: Send + Sync + 'static {
    /// Brings all rooms up to date, as long as that takes. Why it was given up, if it was.
    fn recover<'a>(
        &'a self,
        restored: &'a Restored,
        stop: &'a mut Stop,
    ) -> BoxFuture<'a, Result<Result<(), String>, Stopped>>;
}

/// Starts it.
pub async fn start(source: Source, recoverer: Arc<dyn Recoverer>) -> Result<Running, StoreError> {
    run_errands(source, Recoveries(recoverer)).await
}

struct Recoveries(Arc<dyn Recoverer>);

impl Errand for Recoveries {
    const NAME: &'static str = "recoveries";
    const FAMILY: Family = Family::Servers;
    type Subject = Restored;

    fn subject(&self, stored: &StoredRecord) -> Option<Restored> {
        if stored.entity != restore::entity() {
            return None;
        }
        let RestoreRecord::Restored(restored) = RestoreRecord::decode(stored).ok()??;
        Some(restored)
    }

    fn run<'a>(
        &'a mut self,
        restored: Restored,
        stop: &'a mut Stop,
    ) -> BoxFuture<'a, Result<Outcome, Stopped>> {
        Box::pin(async move { self.0.recover(&restored, stop).await })
    }
}

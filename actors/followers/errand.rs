//! Followers that do something for each user or room that some records concern.

use std::collections::BTreeMap;

use futures_util::future::BoxFuture;
use playhouse_schema::{
    address::Family,
    port::{StoreError, StoredRecord},
};
use ruma::{OwnedUserId, UserId};

use super::task::{Handled, Handler, Running, Source, Stop, Stopped, follow, park};

/// How an errand ended: the last trouble, when some of it could not be done.
pub(super) type Outcome = Result<(), String>;

/// What follows from some records. Must be safe to repeat.
pub(super) trait Errand: Send + 'static {
    /// Its name among the cursors.
    const NAME: &'static str;

    /// Where its records are.
    const FAMILY: Family;

    /// What it is run for: once for all records of a batch with the same subject, in the order of subjects.
    type Subject: Ord + Send + Sync;

    /// The subject of a record that something follows from.
    fn subject(&self, stored: &StoredRecord) -> Option<Self::Subject>;

    /// Runs it. A record of which something could not be done is parked.
    fn run<'a>(
        &'a mut self,
        subject: Self::Subject,
        stop: &'a mut Stop,
    ) -> BoxFuture<'a, Result<Outcome, Stopped>>;
}

/// Starts it.
pub(super) async fn run_errands<E: Errand>(
    source: Source,
    errand: E,
) -> Result<Running, StoreError> {
    run_errands_as(source, E::NAME, errand).await
}

/// Starts it under another name.
pub(super) async fn run_errands_as<E: Errand>(
    source: Source,
    name: &'static str,
    errand: E,
) -> Result<Running, StoreError> {
    follow(source, name, E::FAMILY, Errands(errand, name)).await
}

/// Errands, and their name.
struct Errands<E>(E, &'static str);

impl<E: Errand> Handler for Errands<E> {
    fn handle<'a>(
        &'a mut self,
        records: &'a [StoredRecord],
        stop: &'a mut Stop,
    ) -> BoxFuture<'a, Result<Handled, Stopped>> {
        Box::pin(async move {
            // Each subject once, with the last record that names it.
            let subjects: BTreeMap<_, _> = records
                .iter()
                .filter_map(|record| Some((self.0.subject(record)?, record)))
                .collect();
            let mut handled = Handled {
                acted: !subjects.is_empty(),
                parked: Vec::new(),
            };
            for (subject, record) in subjects {
                if let Err(why) = self.0.run(subject, stop).await? {
                    handled.parked.push(park(self.1, record, &why));
                }
            }
            Ok(handled)
        })
    }
}

/// The user that a record is about.
pub(super) fn user_of(stored: &StoredRecord) -> Option<OwnedUserId> {
    let name = (stored.entity.prefix() == "user").then(|| stored.entity.name())?;
    UserId::parse(name).ok()
}

//! Followers that do something for each user or room that some records concern.

use std::collections::BTreeSet;

use futures_util::future::BoxFuture;
use playhouse_schema::{
    address::Family,
    port::{StoreError, StoredRecord},
};
use ruma::{OwnedRoomId, OwnedUserId, UserId, events::room::member::MembershipState};

use super::{
    members::{Members, insist, park},
    task::{Handler, Running, Source, Stop, Stopped, follow},
};

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

    /// Runs it. What cannot be done is parked.
    fn run<'a>(
        &'a mut self,
        subject: Self::Subject,
        stop: &'a mut Stop,
    ) -> BoxFuture<'a, Result<(), Stopped>>;
}

/// Starts it.
pub(super) async fn run_errands<E: Errand>(
    source: Source,
    errand: E,
) -> Result<Running, StoreError> {
    follow(source, E::NAME, E::FAMILY, Errands(errand)).await
}

struct Errands<E>(E);

impl<E: Errand> Handler for Errands<E> {
    fn handle<'a>(
        &'a mut self,
        records: &'a [StoredRecord],
        stop: &'a mut Stop,
    ) -> BoxFuture<'a, Result<bool, Stopped>> {
        Box::pin(async move {
            let subjects: BTreeSet<_> = records
                .iter()
                .filter_map(|record| self.0.subject(record))
                .collect();
            let came = !subjects.is_empty();
            for subject in subjects {
                self.0.run(subject, stop).await?;
            }
            Ok(came)
        })
    }
}

/// The user that a record is about.
pub(super) fn user_of(stored: &StoredRecord) -> Option<OwnedUserId> {
    let name = (stored.entity.prefix() == "user").then(|| stored.entity.name())?;
    UserId::parse(name).ok()
}

/// The rooms of a user; none when they cannot be told, which is parked.
pub(super) async fn rooms_of(
    members: &dyn Members,
    (follower, user_id): (&'static str, &UserId),
    stop: &mut Stop,
) -> Result<Vec<(OwnedRoomId, MembershipState)>, Stopped> {
    let rooms = insist(stop, || members.rooms(user_id)).await?;
    Ok(rooms.unwrap_or_else(|error| {
        park(follower, user_id.as_str(), None, &error);
        Vec::new()
    }))
}

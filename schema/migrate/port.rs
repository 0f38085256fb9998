//! What a migration asks of a database beyond what everybody may ask.

use std::sync::Arc;

use crate::{
    address::{Entity, Family, Layout, Position, Shard},
    port::{ChainedRecord, Head, LogStore, Snapshot, StoreFuture},
    record::Kind,
};

/// How a migration opens a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// To read it: it must be there and complete.
    From,
    /// To read a backup: it is there, and never anything but unfinished.
    Backup,
    /// To fill it: it is made when it is missing, with this layout, and is unfinished until the migration says otherwise.
    To(Layout),
}

/// Some records to be put into a shard as they are.
#[derive(Clone, Copy, Debug)]
pub struct Put<'a> {
    /// The shard's head as it must be.
    pub before: Head,
    /// The head afterwards, with the epoch that the shard is to have.
    pub after: Head,
    /// The records between them, in order; none when only the epoch changes.
    pub records: &'a [ChainedRecord],
}

/// A database that a migration has for itself: nobody writes its log, and nobody begins to, as long as this lives.
pub trait HeldStore: Send + Sync + 'static {
    /// What everybody may ask of it.
    fn log(&self) -> Arc<dyn LogStore>;

    /// Whether the database says that a migration has begun to fill it and has not ended.
    fn is_unfinished(&self) -> StoreFuture<'_, bool>;

    /// Makes the database say so. For one that is empty and was made by something else.
    fn begin(&self) -> StoreFuture<'_, ()>;

    /// Everything is there: makes it durable and the database an ordinary one.
    fn complete(&self) -> StoreFuture<'_, ()>;

    /// Fails when somebody else may have come to the database since it was opened.
    fn check_hold(&self) -> StoreFuture<'_, ()>;

    /// Stores records as they are, chain values included, in one transaction with the head. Refused when the head is not what it must be.
    fn put<'a>(&'a self, put: Put<'a>) -> StoreFuture<'a, ()>;

    /// Snapshots of a family in the order of their entities' names, after a name.
    fn snapshots<'a>(
        &'a self,
        family: Family,
        after: &'a str,
        limit: usize,
    ) -> StoreFuture<'a, Vec<(Entity, Snapshot)>>;

    /// How many records of each kind stand in a shard after the first of two positions and up to the second, by kind.
    fn count_kinds(
        &self,
        shard: Shard,
        after: Position,
        to: Position,
    ) -> StoreFuture<'_, Vec<(Kind, u64)>>;
}

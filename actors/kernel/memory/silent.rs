//! A shard that does not tell how far it is, and cannot be read, as if its database were away; and a log that is slow to be read.

use std::time::Duration;

use parking_lot::Mutex;
use playhouse_schema::{
    address::{Family, Shard, ShardNumber},
    port::{Head, KnownHeads, StoreError},
};

use super::MemoryStore;

fn away() -> StoreError {
    StoreError::Database("told to be silent".into())
}

/// Which shard is silent, and how long it takes to read the others.
#[derive(Default)]
pub(super) struct Silent(Mutex<Option<ShardNumber>>, Mutex<Duration>);

impl MemoryStore {
    /// From now on this shard of each family does not tell how far it is and cannot be read, or all do and can.
    pub(crate) fn silence(&self, shard: Option<ShardNumber>) {
        *self.silent.0.lock() = shard;
    }

    /// Reading from a shard takes so long from now on.
    pub(crate) fn read_slowly(&self, wait: Duration) {
        *self.silent.1.lock() = wait;
    }

    /// How long reading from a shard takes.
    pub(super) fn reading_time(&self) -> Duration {
        *self.silent.1.lock()
    }

    /// How far those are that tell.
    pub(super) fn known(&self, family: Family) -> KnownHeads {
        let silent = *self.silent.0.lock();
        let books = self.books.lock();
        let numbers = (0..self.layout.shards).filter(|number| Some(*number) != silent);
        let heads: Vec<Head> = numbers
            .map(|number| books.head(Shard { family, number }))
            .collect();
        KnownHeads {
            heads,
            silent: silent.into_iter().collect(),
            trouble: silent.map(|_| away()),
        }
    }

    /// How far all are; refused when one does not tell.
    pub(super) fn told(&self, family: Family) -> Result<Vec<Head>, StoreError> {
        let known = self.known(family);
        known.trouble.map_or(Ok(known.heads), Err)
    }

    /// Why a shard cannot be read; `None` when it can.
    pub(super) fn refusal(&self, shard: Shard) -> Option<StoreError> {
        (*self.silent.0.lock() == Some(shard.number)).then(away)
    }
}

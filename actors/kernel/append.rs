//! What an actor hands to the writers.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use playhouse_schema::{
    address::Family,
    port::{Erasure, Landed, NewRecord},
};
use tracing::Span;

/// Why an append did not happen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// Another owner holds the shard.
    #[error("shard is fenced")]
    Fenced,
    /// The store failed, or an earlier append of the same actor did.
    #[error("append failed: {0}")]
    Failed(String),
}

/// Where the records of an append landed.
#[derive(Clone, Debug)]
pub struct Landing {
    /// In the order of the append's records.
    pub landed: Vec<Landed>,
    /// The time written into the records, milliseconds since the Unix epoch.
    pub at_ms: u64,
}

/// One life of an actor. When one of its appends fails, all later ones of the same life must fail too: they were decided on records that do not exist.
#[derive(Clone, Debug, Default)]
pub struct Lineage(Arc<AtomicBool>);

impl Lineage {
    /// Whether it is the same life.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// No append of this life will be written any more.
    pub fn break_off(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether an append of this life has failed.
    pub fn is_broken(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Called once, on the writer's thread, when the fate of an append is known. Must not block.
pub type Done = Box<dyn FnOnce(Result<Landing, AppendError>) + Send>;

/// Records of one entity that must land together, in order, but for those that need not.
pub struct Append {
    /// The family of the entity.
    pub family: Family,
    /// The shard number of the entity.
    pub shard: u16,
    /// The records; may be empty when only erasures are wanted.
    pub records: Vec<NewRecord>,
    /// So many of the records, the first ones, may land without the others, see [`super::Decision::divisible`].
    pub divisible: usize,
    /// Payloads to replace in the same transaction.
    pub erasures: Vec<Erasure>,
    /// The life of the actor that appends.
    pub lineage: Lineage,
    /// In which it is traced; none where nobody collects spans.
    pub span: Span,
    /// Told the outcome.
    pub done: Done,
}

/// The way to the writers.
pub trait Log: Send + Sync + 'static {
    /// Whether the writer of this shard takes more. Asked before a command is judged, since a decision that cannot be queued ends its actor.
    fn has_room(&self, family: Family, shard: u16) -> bool;

    /// Queues an append. The outcome is told through [`Append::done`].
    fn append(&self, append: Append);
}

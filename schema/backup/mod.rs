//! A copy of the log that is made while the house serves, and how a house begins anew from one.
//!
//! A backup is the beginning of the log up to some positions, in a data folder that says of itself that it is unfinished, so that no server takes it for its
//! own.
//! Whatever the engine of the house is, that of a backup is SQLite. The log only grows: what stands at a position when the copying begins is read at leisure
//! while
//! more is written behind it. Payloads that are replaced meanwhile are copied as they are found; a record that was replaced and whose note came too late gets
//! another note when the backup is restored. What is derived from the log is left out, but for how far those readers of the log have come that do something
//! for each
//! record once.

mod restore;

use crate::{
    address::{Family, Position, Shard},
    migrate::{
        Progress, Step, Told,
        port::{HeldStore, Put},
    },
    models::{
        AnyModel,
        parked::{self, Parked},
        positions::{self, ReaderPosition},
    },
    port::{ChainedRecord, Head, LogStore, Statement, StoreError},
    verify::{Damage, Walk},
};

pub use self::restore::{RestoreWish, Restored, complete, layout_after, restore};

/// Records read and written at a time.
const PAGE: usize = 1_000;

/// Why a backup is not made, or not restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// A database does not do what it should.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A record does not follow the one before it.
    #[error("the log is damaged: {0}")]
    Damaged(#[from] Damage),
    /// There is something where the copy should go.
    #[error("{0}")]
    Occupied(String),
}

/// What a backup holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackedUp {
    /// So many records.
    pub records: u64,
}

/// Where the copying of a shard ends.
#[derive(Clone, Copy)]
struct Bound {
    /// The newest record that is copied is not beyond this position …
    position: Position,
    /// … and neither it nor any before it was written later than this.
    at_ms: u64,
}

/// From where to where.
#[derive(Clone, Copy)]
struct Course<'a> {
    from: &'a dyn LogStore,
    to: &'a dyn HeldStore,
}

/// Copies the log as it is now into an empty folder. Everything that was committed before is in the copy.
pub async fn back_up(
    from: &dyn LogStore,
    to: &dyn HeldStore,
    models: &[Box<dyn AnyModel>],
    told: Told<'_>,
) -> Result<BackedUp, BackupError> {
    let course = Course { from, to };
    must_be_empty(to).await?;
    // Before the heads: no reader may be ahead of the log that it has read.
    let readers = positions::all(&*from.models()).await?;
    let readers = readers
        .into_iter()
        .filter(|reader| !positions::is_model(&reader.name, models));
    let readers: Vec<_> = readers.collect();
    let parked = all_parked(from, models).await?;
    // Who speaks of a room may be a little behind it, and never ahead.
    let mut heads = Vec::new();
    for family in [Family::Servers, Family::Users, Family::Rooms] {
        heads.extend(from.heads(family).await?);
    }
    let mut progress = Progress {
        step: Step::Records,
        done: 0,
        all: heads.iter().map(|head| head.position).sum(),
    };
    told(progress);
    for head in &heads {
        let bound = Bound {
            position: head.position,
            at_ms: u64::MAX,
        };
        // A server that serves meanwhile has its memory for other things than what was ever erased.
        let walk = Walk::of_links(head.shard);
        let (walk, _) = course
            .copy(walk, *head, bound, &mut |page| {
                progress.done += page.len() as u64;
                told(progress);
            })
            .await?;
        if (walk.position, walk.chain) != (head.position, head.chain) {
            return Err(StoreError::Damaged(format!(
                "{}: the log ends before its head at {}",
                head.shard, head.position
            ))
            .into());
        }
    }
    let mut statements: Vec<Statement> = readers.iter().map(ReaderPosition::set).collect();
    statements.extend(parked.iter().map(Parked::park));
    to.log().models().apply(statements, Vec::new()).await?;
    Ok(BackedUp {
        records: progress.done,
    })
}

/// Refuses a target that holds anything.
async fn must_be_empty(to: &dyn HeldStore) -> Result<(), BackupError> {
    let log = to.log();
    for family in Family::ALL {
        let heads = log.heads(family).await?;
        if heads.iter().any(|head| head.position > 0) {
            return Err(BackupError::Occupied(
                "there are records where the copy should go: name an empty place".to_owned(),
            ));
        }
    }
    if !to.is_unfinished().await? {
        to.begin().await?;
    }
    Ok(())
}

/// What readers that are no read models have parked.
async fn all_parked(
    from: &dyn LogStore,
    models: &[Box<dyn AnyModel>],
) -> Result<Vec<Parked>, StoreError> {
    let all = parked::all(&*from.models(), PARKED_MAX).await?;
    let is_kept = |parked: &Parked| !positions::is_model(&parked.name, models);
    Ok(all.into_iter().filter(is_kept).collect())
}

/// So many parked records are copied: of more, the readers go on without.
const PARKED_MAX: usize = 100_000;

impl Course<'_> {
    /// Copies the beginning of a shard, and checks each record on the way. Tells page by page what was copied; gives the walk along it, and the head that it
    /// has now.
    async fn copy(
        &self,
        mut walk: Walk,
        ours: Head,
        bound: Bound,
        copied: &mut (dyn FnMut(&[ChainedRecord]) + Send),
    ) -> Result<(Walk, Head), BackupError> {
        let shard = ours.shard;
        let mut at = head_of(self.to, shard).await?;
        loop {
            let page = self.from.read_chain(shard, at.position, PAGE).await?;
            let fits = |chained: &&ChainedRecord| {
                chained.record.position <= bound.position && chained.record.at_ms <= bound.at_ms
            };
            let count = page.iter().take_while(fits).count();
            let records = &page[..count];
            for chained in records {
                walk.step(chained)?;
            }
            if let Some(last) = records.last() {
                let after = Head {
                    shard,
                    position: last.record.position,
                    chain: last.chain,
                    epoch: ours.epoch,
                };
                let before = at;
                self.to
                    .put(Put {
                        before,
                        after,
                        records,
                    })
                    .await?;
                at = after;
                copied(records);
            }
            if count < page.len() || page.len() < PAGE {
                at.epoch = ours.epoch;
                return Ok((walk, at));
            }
        }
    }
}

async fn head_of(to: &dyn HeldStore, shard: Shard) -> Result<Head, StoreError> {
    let heads = to.log().heads(shard.family).await?;
    let found = heads.into_iter().find(|head| head.shard == shard);
    found.ok_or_else(|| StoreError::Damaged(format!("{shard} has no head")))
}

//! Brings everything from one database to another, whichever engines they are.
//!
//! What is brought: the log as it is, with positions, chain values, epochs, times and what stands in the place of erased payloads; snapshots; how far those readers
//! have come that are no folds, and what they have parked. Read models are not brought: they are folded again from the log, by the caller.
//!
//! There is no journal of a migration: what the target holds says how far it has come. A target is a beginning of the source when the chain values at its heads are
//! those of the source at the same positions. It says of itself that it is unfinished until everything was read back and compared.

mod check;
pub mod port;

use std::{fmt, sync::Arc};

use futures_util::future::try_join;

pub use self::check::Verified;
use self::port::{HeldStore, Put};
use crate::{
    address::{Family, Position, Shard},
    models::{
        AnyModel,
        parked::{self, Parked},
        positions,
    },
    port::{ChainedRecord, Head, LogStore, Statement, StoreError},
    verify::{Damage, check_link},
};

/// Records read and written at a time.
const PAGE: usize = 1_000;

/// Snapshots read at a time: each may be large.
const SNAPSHOTS: usize = 16;

/// Parked records read at a time.
const PARKED: usize = 1_000;

/// One of the two databases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The one that is read.
    From,
    /// The one that is filled.
    To,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            End::From => "the source",
            End::To => "the target",
        })
    }
}

/// Why a migration does not go on.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// A database does not do what it should.
    #[error("{end}: {error}")]
    Store {
        /// Which.
        end: End,
        /// What it said.
        error: StoreError,
    },
    /// A record of the source does not follow the one before it, or a record of the target does not.
    #[error("{end} is damaged: {damage}")]
    Damaged {
        /// Which.
        end: End,
        /// Where and how.
        damage: Damage,
    },
    /// The numbers of shards differ.
    #[error(
        "the target has {to} shards in each family and the source {from}: name an empty database"
    )]
    Layout {
        /// Of the source.
        from: u16,
        /// Of the target.
        to: u16,
    },
    /// The target is somebody else's.
    #[error("the target holds something else than a beginning of the source: {0}")]
    Foreign(String),
    /// The source was written meanwhile.
    #[error("{0} of the source has changed since the migration began")]
    Changed(Shard),
    /// What was read back is not what is in the source.
    #[error("shard {shard} position {position} of the target is not as in the source")]
    Different {
        /// The shard.
        shard: Shard,
        /// Where.
        position: Position,
    },
    /// The numbers of records differ.
    #[error("shard {shard}: the source has {from} records of kind {kind}, the target {to}")]
    Counts {
        /// The shard.
        shard: Shard,
        /// The kind.
        kind: u16,
        /// In the source.
        from: u64,
        /// In the target.
        to: u64,
    },
}

impl End {
    fn failed(self) -> impl Fn(StoreError) -> MigrateError {
        move |error| MigrateError::Store { end: self, error }
    }
}

/// What is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Records are copied.
    Records,
    /// Snapshots are copied; their number is not known before.
    Snapshots,
    /// Read models are folded.
    Models,
    /// What was copied is read back and compared.
    Verification,
}

/// How far a step has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Which step.
    pub step: Step,
    /// So much is done …
    pub done: u64,
    /// … of so much; 0 when that is not known.
    pub all: u64,
}

/// Who wants to know.
pub type Told<'a> = &'a mut (dyn FnMut(Progress) + Send);

/// What was found in the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// Nothing.
    Empty,
    /// So many records of the source.
    Partial(u64),
    /// Everything: an earlier run has ended.
    Complete,
}

/// A migration under way.
pub struct Migration {
    from: Arc<dyn HeldStore>,
    to: Arc<dyn HeldStore>,
    /// The source's heads, which do not change.
    heads: Vec<Head>,
}

impl Migration {
    /// Looks at both databases: whether the target is empty, or a beginning of the source that an earlier run has left.
    pub async fn begin(
        from: Arc<dyn HeldStore>,
        to: Arc<dyn HeldStore>,
    ) -> Result<(Self, Beginning), MigrateError> {
        let shards = (from.log().layout().shards, to.log().layout().shards);
        if shards.0 != shards.1 {
            return Err(MigrateError::Layout {
                from: shards.0,
                to: shards.1,
            });
        }
        if from.log().layout().era != to.log().layout().era {
            return Err(MigrateError::Foreign(
                "it was made for another life of the log: name an empty database".to_owned(),
            ));
        }
        let heads = heads_of(&*from, End::From).await?;
        let there = heads_of(&*to, End::To).await?;
        let is_unfinished = to.is_unfinished().await.map_err(End::To.failed())?;
        let migration = Self { from, to, heads };
        let records: u64 = there.iter().map(|head| head.position).sum();
        if !is_unfinished {
            if records > 0 && there == migration.heads {
                return Ok((migration, Beginning::Complete));
            }
            migration.adopt(records).await?;
        }
        for (ours, theirs) in migration.heads.iter().zip(&there) {
            migration.check_beginning(ours, theirs).await?;
        }
        let beginning = match records {
            0 => Beginning::Empty,
            _ => Beginning::Partial(records),
        };
        Ok((migration, beginning))
    }

    /// How many records the source has.
    pub fn records(&self) -> u64 {
        self.heads.iter().map(|head| head.position).sum()
    }

    /// The target's log and read models.
    pub fn target(&self) -> Arc<dyn LogStore> {
        self.to.log()
    }

    /// Takes a database that something else has made for the target, if it is empty.
    async fn adopt(&self, records: u64) -> Result<(), MigrateError> {
        if records > 0 {
            return Err(MigrateError::Foreign(format!(
                "{records} records, and it does not say of itself that it is unfinished"
            )));
        }
        let failed = End::To.failed();
        let mut is_empty = true;
        for family in Family::ALL {
            let one = self.to.snapshots(family, "", 1).await.map_err(&failed)?;
            is_empty &= one.is_empty();
        }
        let models = self.to.log().models();
        is_empty &= positions::all(&*models).await.map_err(&failed)?.is_empty();
        if !is_empty {
            return Err(MigrateError::Foreign(
                "read models or snapshots without a log".to_owned(),
            ));
        }
        self.to.begin().await.map_err(&failed)
    }

    /// The chain value covers everything before it.
    async fn check_beginning(&self, ours: &Head, theirs: &Head) -> Result<(), MigrateError> {
        let foreign = || {
            let shard = ours.shard;
            Err(MigrateError::Foreign(format!("shard {shard} differs")))
        };
        if theirs.position == 0 {
            return Ok(());
        }
        if theirs.position > ours.position {
            return foreign();
        }
        let log = self.from.log();
        let page = log.read_chain(ours.shard, theirs.position - 1, 1).await;
        let page = page.map_err(End::From.failed())?;
        match page.first() {
            Some(record)
                if (record.record.position, record.chain) == (theirs.position, theirs.chain) =>
            {
                Ok(())
            }
            _ => foreign(),
        }
    }

    /// Copies the records that the target lacks, page by page, each page in one transaction.
    pub async fn copy_records(&self, told: Told<'_>) -> Result<(), MigrateError> {
        let there = heads_of(&*self.to, End::To).await?;
        let mut progress = Progress {
            step: Step::Records,
            done: there.iter().map(|head| head.position).sum(),
            all: self.records(),
        };
        told(progress);
        for (ours, theirs) in self.heads.iter().zip(&there) {
            self.copy_shard(*ours, *theirs, &mut |records| {
                progress.done += records;
                told(progress);
            })
            .await?;
        }
        self.check_holds().await
    }

    async fn copy_shard(
        &self,
        ours: Head,
        theirs: Head,
        copied: &mut (dyn FnMut(u64) + Send),
    ) -> Result<(), MigrateError> {
        let mut at = theirs;
        let mut page = self.read(ours.shard, at.position).await?;
        while let Some(last) = page.last() {
            check_page(&at, &page)?;
            let after = Head {
                position: last.record.position,
                chain: last.chain,
                epoch: ours.epoch,
                shard: ours.shard,
            };
            let put = self.put(Put {
                before: at,
                after,
                records: &page,
            });
            // The next page is read while this one is written. It is asked for first: a write to SQLite waits where it is made.
            let (next, ()) = try_join(self.read(ours.shard, after.position), put).await?;
            copied(page.len() as u64);
            at = after;
            page = next;
        }
        if (at.position, at.chain) != (ours.position, ours.chain) {
            return Err(MigrateError::Changed(ours.shard));
        }
        if at.epoch != ours.epoch {
            let records: &[ChainedRecord] = &[];
            self.put(Put {
                before: at,
                after: ours,
                records,
            })
            .await?;
        }
        Ok(())
    }

    async fn put(&self, put: Put<'_>) -> Result<(), MigrateError> {
        self.to.put(put).await.map_err(End::To.failed())
    }

    async fn read(
        &self,
        shard: Shard,
        after: Position,
    ) -> Result<Vec<ChainedRecord>, MigrateError> {
        let log = self.from.log();
        let page = log.read_chain(shard, after, PAGE).await;
        page.map_err(End::From.failed())
    }

    /// Copies the snapshots. They hold for the same log; an actor with a long history would need long to wake without.
    pub async fn copy_snapshots(&self, told: Told<'_>) -> Result<(), MigrateError> {
        let mut progress = Progress {
            step: Step::Snapshots,
            done: 0,
            all: 0,
        };
        let log = self.to.log();
        for family in Family::ALL {
            let mut after = String::new();
            loop {
                let page = self.from.snapshots(family, &after, SNAPSHOTS).await;
                let page = page.map_err(End::From.failed())?;
                let Some((last, _)) = page.last() else {
                    break;
                };
                last.as_str().clone_into(&mut after);
                progress.done += page.len() as u64;
                for (entity, snapshot) in page {
                    let saved = log.save_snapshot(&entity, snapshot).await;
                    saved.map_err(End::To.failed())?;
                }
                told(progress);
            }
        }
        Ok(())
    }

    /// Copies how far those readers of the log have come that are no read models, and what they have parked.
    pub async fn copy_readers(&self, models: &[Box<dyn AnyModel>]) -> Result<(), MigrateError> {
        let (from, to) = (self.from.log().models(), self.to.log().models());
        let all = positions::all(&*from).await.map_err(End::From.failed())?;
        let statements: Vec<Statement> = all
            .iter()
            .filter(|reader| !positions::is_model(&reader.name, models))
            .map(positions::ReaderPosition::set)
            .collect();
        let stored = to.apply(statements, Vec::new()).await;
        stored.map_err(End::To.failed())?;
        let mut last = before_all_parked();
        loop {
            let page = parked::after(&*from, &last, PARKED).await;
            let page = page.map_err(End::From.failed())?;
            let Some(newest) = page.last() else {
                return Ok(());
            };
            last = newest.clone();
            let statements: Vec<Statement> = page
                .iter()
                .filter(|parked| !positions::is_model(&parked.name, models))
                .map(Parked::park)
                .collect();
            let stored = to.apply(statements, Vec::new()).await;
            stored.map_err(End::To.failed())?;
        }
    }

    /// The target is an ordinary database from now on. Only for one that was verified.
    pub async fn complete(&self, _verified: &Verified) -> Result<(), MigrateError> {
        self.to.complete().await.map_err(End::To.failed())
    }

    /// Nobody has come to one of the databases meanwhile, and the source is as it was.
    async fn check_holds(&self) -> Result<(), MigrateError> {
        self.from.check_hold().await.map_err(End::From.failed())?;
        self.to.check_hold().await.map_err(End::To.failed())?;
        let now = heads_of(&*self.from, End::From).await?;
        let changed = self.heads.iter().zip(&now).find(|(then, now)| then != now);
        match changed {
            None => Ok(()),
            Some((then, _)) => Err(MigrateError::Changed(then.shard)),
        }
    }
}

/// The heads of all families, in a fixed order.
async fn heads_of(held: &dyn HeldStore, end: End) -> Result<Vec<Head>, MigrateError> {
    let log = held.log();
    let mut all = Vec::new();
    for family in Family::ALL {
        let mut heads = log.heads(family).await.map_err(end.failed())?;
        heads.sort_by_key(|head| head.shard.number);
        all.extend(heads);
    }
    Ok(all)
}

/// Damage is not copied.
fn check_page(before: &Head, page: &[ChainedRecord]) -> Result<(), MigrateError> {
    let (mut position, mut chain) = (before.position, before.chain);
    for chained in page {
        check_link((position, &chain), chained).map_err(|what| MigrateError::Damaged {
            end: End::From,
            damage: Damage::Record {
                shard: before.shard,
                position: position + 1,
                what: what.to_owned(),
            },
        })?;
        position = chained.record.position;
        chain = chained.chain;
    }
    Ok(())
}

fn before_all_parked() -> Parked {
    Parked {
        name: String::new(),
        shard: Shard {
            family: Family::Rooms,
            number: 0,
        },
        position: 0,
        entity: String::new(),
        reason: String::new(),
        program: String::new(),
    }
}

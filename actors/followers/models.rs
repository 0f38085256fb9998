//! Runs the read models: folds every record into their tables, in order, and tells how far each has come.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use playhouse_schema::{
    address::{Family, Position, Shard, ShardNumber},
    models::{
        AnyModel,
        parked::{self, Parked},
    },
    port::{CursorAdvance, LogStore, ModelStore, Statement, StoreError, StoredRecord},
};
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

use super::{
    rebuild::refold,
    task::{PROGRAM, Running, Stop, Stopped, park, parked_before},
};
use crate::{
    room::context::Folded,
    writers::{Tail, TailReader},
};

/// A query waits so long at most for a model that lags.
const REACHED_WITHIN: Duration = Duration::from_secs(10);

/// Batches of which nothing came move the stored position only so often.
const IDLE_SAVE_INTERVAL: Duration = Duration::from_secs(5);

/// A fold that has taken in a batch lets the next one gather so long, unless somebody waits for it: under load it wakes for many commits at once.
const GATHER: Duration = Duration::from_millis(10);

/// Waits before a failed write is tried again: the first and the longest.
const RETRY_WAIT: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// A patient model keeps so many records, of so many bytes in all, before it folds them whoever asks.
const KEPT_MAX: (usize, usize) = (1_000, 4 * 1024 * 1024);

/// A model has not come far enough in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("read model lags behind")]
pub struct Lagging;

/// How far a model has come: a position per shard number.
type Positions = watch::Receiver<Vec<Position>>;

/// A fold as those see it who wait for it.
struct Reached {
    positions: Positions,
    urge: Arc<Urge>,
}

/// Whether somebody waits for a fold: then it is patient no more.
#[derive(Default)]
struct Urge {
    waiting: AtomicUsize,
    more: Notify,
}

/// Somebody who waits for a fold.
struct Waiting<'a>(&'a Urge);

impl<'a> Waiting<'a> {
    fn begin(urge: &'a Urge) -> Self {
        urge.waiting.fetch_add(1, Ordering::AcqRel);
        urge.more.notify_one();
        Self(urge)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The read models of a node.
pub struct Models {
    tail: Arc<Tail>,
    store: Arc<dyn ModelStore>,
    /// By model and family.
    folds: BTreeMap<(&'static str, Family), Reached>,
    running: Vec<Running>,
}

impl Models {
    /// Creates what tables are missing and starts all folds, each from where it was: one task for each model and family.
    pub async fn start(
        store: Arc<dyn LogStore>,
        tail: Arc<Tail>,
        models: Vec<Box<dyn AnyModel>>,
    ) -> Result<Self, StoreError> {
        let mut folds = BTreeMap::new();
        let mut running = Vec::new();
        for model in models {
            let model: Arc<dyn AnyModel> = model.into();
            let database = store.models();
            database.create(model.creation()).await?;
            retry(&*store, &*model).await?;
            for family in model.reads() {
                let from = database.cursors(model.table(), *family).await?;
                let (told, reached) = watch::channel(positions(&*store, &from));
                let urge = Arc::<Urge>::default();
                let reached = Reached {
                    positions: reached,
                    urge: urge.clone(),
                };
                folds.insert((model.name(), *family), reached);
                let fold = Fold {
                    model: model.clone(),
                    family: *family,
                    database: database.clone(),
                    reader: tail.follow(*family, &from),
                    shards: store.layout().shards,
                    told,
                    saved: Instant::now(),
                    urge,
                    kept: Kept::default(),
                };
                running.push(Running::start(|stop| Box::pin(fold.run(stop))));
            }
        }
        Ok(Self {
            tail,
            store: store.models(),
            folds,
            running,
        })
    }

    /// The database in which the models are asked.
    pub fn store(&self) -> &Arc<dyn ModelStore> {
        &self.store
    }

    /// Waits until a model has taken in a position of a shard.
    pub async fn reached(
        &self,
        model: &'static str,
        shard: Shard,
        position: Position,
    ) -> Result<(), Lagging> {
        let reached = self.folds.get(&(model, shard.family)).ok_or(Lagging)?;
        wait_for(reached, &[(shard.number, position)]).await
    }

    /// Waits until a model has taken in everything that this node has committed up to now.
    pub async fn caught_up(&self, model: &'static str) -> Result<(), Lagging> {
        let folds = self.folds.iter().filter(|((name, _), _)| *name == model);
        for ((_, family), reached) in folds {
            let shards = reached.positions.borrow().len() as ShardNumber;
            let heads = (0..shards).map(|number| {
                let family = *family;
                (number, self.tail.head(Shard { family, number }))
            });
            let wanted: Vec<_> = heads.collect();
            wait_for(reached, &wanted).await?;
        }
        Ok(())
    }

    /// What models and followers could not take in, at most `limit` records.
    pub async fn parked(&self, limit: usize) -> Result<Vec<Parked>, StoreError> {
        parked::all(&*self.store, limit).await
    }

    /// How much is parked.
    pub async fn parked_count(&self) -> Result<u64, StoreError> {
        parked::count(&*self.store).await
    }

    /// Ends all folds.
    pub async fn stop(&self, within: Duration) {
        let deadline = Instant::now() + within;
        for running in &self.running {
            let left = deadline.saturating_duration_since(Instant::now());
            running.stop(left).await;
        }
    }
}

impl Folded for Models {
    fn folded(&self, model: &'static str, shard: Shard) -> Position {
        let reached = self.folds.get(&(model, shard.family));
        let positions = reached.map(|reached| reached.positions.borrow());
        let at = positions.and_then(|positions| positions.get(usize::from(shard.number)).copied());
        at.unwrap_or(0)
    }
}

async fn wait_for(reached: &Reached, wanted: &[(ShardNumber, Position)]) -> Result<(), Lagging> {
    let enough = |positions: &Vec<Position>| {
        wanted.iter().all(|(number, position)| {
            positions
                .get(usize::from(*number))
                .is_some_and(|at| at >= position)
        })
    };
    if enough(&reached.positions.borrow()) {
        return Ok(());
    }
    let _waiting = Waiting::begin(&reached.urge);
    let mut positions = reached.positions.clone();
    let enough = positions.wait_for(enough);
    match tokio::time::timeout(REACHED_WITHIN, enough).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(Lagging),
    }
}

/// Looks at what another program has parked. When this one understands a record of it, the model is folded again from the whole log before it is asked
/// anything: what came after that record was folded without it, and the order of records matters.
async fn retry(store: &dyn LogStore, model: &dyn AnyModel) -> Result<(), StoreError> {
    let database = store.models();
    let mut kept = Vec::new();
    for parked in parked_before(store, model.table()).await? {
        let Some(record) = parked.record(store).await? else {
            kept.push(parked.release());
            continue;
        };
        match model.changes(&record) {
            Ok(_) => {
                tracing::warn!(model = model.name(), shard = %parked.shard, position = parked.position, "a parked record is understood now, the model is folded again");
                refold(store, model, &mut |_| {}).await?;
                return Ok(());
            }
            Err(error) => {
                kept.push(Parked::new(model.table(), &record, PROGRAM, &error).park());
            }
        }
    }
    if kept.is_empty() {
        return Ok(());
    }
    database.apply(kept, Vec::new()).await
}

fn positions(store: &dyn LogStore, from: &[(ShardNumber, Position)]) -> Vec<Position> {
    let mut positions = vec![0; usize::from(store.layout().shards)];
    for (number, position) in from {
        if let Some(at) = positions.get_mut(usize::from(*number)) {
            *at = *position;
        }
    }
    positions
}

struct Fold {
    model: Arc<dyn AnyModel>,
    family: Family,
    database: Arc<dyn ModelStore>,
    reader: TailReader,
    shards: ShardNumber,
    told: watch::Sender<Vec<Position>>,
    saved: Instant,
    urge: Arc<Urge>,
    kept: Kept,
}

/// Records that a patient model has not folded yet.
#[derive(Default)]
struct Kept {
    records: Vec<StoredRecord>,
    bytes: usize,
    since: Option<Instant>,
}

impl Kept {
    fn add(&mut self, records: Vec<StoredRecord>) {
        self.bytes += records
            .iter()
            .map(|record| record.payload.len())
            .sum::<usize>();
        self.records.extend(records);
        self.since.get_or_insert_with(Instant::now);
    }

    fn is_full(&self) -> bool {
        self.records.len() >= KEPT_MAX.0 || self.bytes >= KEPT_MAX.1
    }
}

impl Fold {
    async fn run(mut self, mut stop: Stop) {
        let mut signal = stop.clone();
        let patience = Duration::from_millis(self.model.patience_ms());
        loop {
            let due = self.kept.since.map(|since| since + patience);
            tokio::select! {
                biased;
                () = signal.told() => break,
                () = self.urge.more.notified(), if due.is_some() => {}
                () = tokio::time::sleep_until(due.unwrap_or(self.saved)), if due.is_some() => {}
                records = self.reader.next() => {
                    self.kept.add(records);
                    let is_urged = self.urge.waiting.load(Ordering::Acquire) > 0;
                    if !(patience.is_zero() || is_urged || self.kept.is_full()) {
                        continue;
                    }
                }
            }
            if self.take_in_kept(&mut stop).await.is_err() {
                return;
            }
            if self.urge.waiting.load(Ordering::Acquire) == 0 {
                tokio::select! {
                    () = self.urge.more.notified() => {}
                    _ = stop.pause(GATHER) => {}
                }
            }
        }
        if self.take_in_kept(&mut stop).await.is_err() {
            return;
        }
        if let Err(error) = self.database.apply(Vec::new(), self.cursors()).await {
            tracing::warn!(model = self.model.name(), %error, "cannot store position");
        }
    }

    async fn take_in_kept(&mut self, stop: &mut Stop) -> Result<(), Stopped> {
        let records = std::mem::take(&mut self.kept).records;
        self.take_in(&records, stop).await?;
        let positions: Vec<Position> = (0..self.shards)
            .map(|number| self.reader.position(number))
            .collect();
        self.told.send_replace(positions);
        metrics::counter!("playhouse_model_records_total", "model" => self.model.name())
            .increment(records.len() as u64);
        Ok(())
    }

    async fn take_in(&mut self, records: &[StoredRecord], stop: &mut Stop) -> Result<(), Stopped> {
        let folded: Vec<_> = records.iter().map(|record| self.fold(record)).collect();
        let statements: Vec<Statement> = folded.iter().flatten().cloned().collect();
        if statements.is_empty() && self.saved.elapsed() < IDLE_SAVE_INTERVAL {
            return Ok(());
        }
        if let Err(error) = self.database.apply(statements, self.cursors()).await {
            tracing::warn!(model = self.model.name(), %error, "cannot fold a batch, trying its records one by one");
            for (record, statements) in records.iter().zip(folded) {
                self.take_in_one(record, statements, stop).await?;
            }
        }
        self.saved = Instant::now();
        Ok(())
    }

    fn fold(&self, record: &StoredRecord) -> Vec<Statement> {
        self.model
            .changes(record)
            .unwrap_or_else(|error| vec![park(self.model.table(), record, &error).park()])
    }

    /// One record alone. When its statements fail while the position can be stored, the record is to blame: it is parked.
    async fn take_in_one(
        &self,
        record: &StoredRecord,
        statements: Vec<Statement>,
        stop: &mut Stop,
    ) -> Result<(), Stopped> {
        let (mut wait, longest) = RETRY_WAIT;
        let cursor = vec![CursorAdvance {
            name: self.model.table(),
            shard: record.shard,
            position: record.position,
        }];
        loop {
            let Err(error) = self
                .database
                .apply(statements.clone(), cursor.clone())
                .await
            else {
                return Ok(());
            };
            let blamed = vec![Parked::new(self.model.table(), record, PROGRAM, &error).park()];
            if self.database.apply(blamed, cursor.clone()).await.is_ok() {
                park(self.model.table(), record, &error);
                return Ok(());
            }
            if !stop.pause(wait).await {
                return Err(Stopped);
            }
            wait = (wait * 2).min(longest);
        }
    }

    fn cursors(&self) -> Vec<CursorAdvance> {
        (0..self.shards)
            .map(|number| CursorAdvance {
                name: self.model.table(),
                shard: Shard {
                    family: self.family,
                    number,
                },
                position: self.reader.position(number),
            })
            .filter(|cursor| cursor.position > 0)
            .collect()
    }
}

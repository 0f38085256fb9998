//! What durable followers share: a task that reads a family and a position that survives restarts.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use playhouse_schema::{
    address::{Family, Shard, ShardNumber},
    models::parked::{self, Parked},
    port::{CursorAdvance, LogStore, Statement, StoreError, StoredRecord},
};
use tokio::{sync::watch, task::JoinHandle, time::Instant};

use super::{bookmark::Bookmark, lookout::Lookout};
use crate::{cluster::Underway, writers::Tail};

/// A batch of which nothing came moves the stored position only so often: reading it again after a crash costs little.
const IDLE_SAVE_INTERVAL: Duration = Duration::from_secs(5);

/// A follower that has handled a batch lets the next one gather so long: nobody waits for it, and under load it wakes for many commits at once.
const GATHER: Duration = Duration::from_millis(10);

/// Waits before a failed write is tried again: the first and the longest.
const RETRY_WAIT: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// Tells a follower to stop. Cheap to clone.
#[derive(Clone)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Whether it was told.
    pub fn is_told(&self) -> bool {
        *self.0.borrow()
    }

    /// Ends when it is told.
    pub async fn told(&mut self) {
        // An error means that nobody is left who could tell: as good as told.
        let _ = self.0.wait_for(|told| *told).await;
    }

    /// Waits a while; `false` when told to stop meanwhile.
    pub async fn pause(&mut self, wait: Duration) -> bool {
        tokio::time::timeout(wait, self.told()).await.is_err()
    }
}

/// A running follower.
pub struct Running {
    stop: watch::Sender<bool>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Running {
    /// Starts a follower's task.
    pub fn start(task: impl FnOnce(Stop) -> BoxFuture<'static, ()>) -> Self {
        let (stop, told) = watch::channel(false);
        let task = ractor::concurrency::spawn(task(Stop(told)));
        Self {
            stop,
            task: Mutex::new(Some(task)),
        }
    }

    /// Tells it to stop and waits until it has, or cuts it off when the time is up. Stopping in the middle of something is safe: its position has not moved.
    pub async fn stop(&self, within: Duration) {
        let _ = self.stop.send(true);
        let Some(mut task) = self.task.lock().take() else {
            return;
        };
        if tokio::time::timeout(within, &mut task).await.is_err() {
            task.abort();
        }
    }
}

impl Underway for Running {
    fn stop(&self, within: Duration) -> BoxFuture<'_, ()> {
        Box::pin(Running::stop(self, within))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
    }
}

/// What a durable follower does with a batch. Must be safe to repeat, also long afterwards: what was parked is handled again after an upgrade.
pub trait Handler: Send + 'static {
    /// Handles records of one batch. `Err`: told to stop before it was done.
    fn handle<'a>(
        &'a mut self,
        records: &'a [StoredRecord],
        stop: &'a mut Stop,
    ) -> BoxFuture<'a, Result<Handled, Stopped>>;
}

/// What came of a batch.
#[derive(Default)]
pub struct Handled {
    /// Something: the position is stored at once.
    pub acted: bool,
    /// What must wait for a better program.
    pub parked: Vec<Parked>,
}

/// The version of this program: what another one has parked is tried again.
pub(crate) const PROGRAM: &str = env!("CARGO_PKG_VERSION");

/// So many parked records of one reader are looked at.
const PARKED_MAX: usize = 10_000;

/// Parks a record: says so, counts it, and gives what must be stored with the position.
pub(crate) fn park(
    name: &'static str,
    record: &StoredRecord,
    why: &dyn std::fmt::Display,
) -> Parked {
    metrics::counter!("playhouse_parked_total", "reader" => name).increment(1);
    metrics::gauge!("playhouse_parked_records", "reader" => name).increment(1.0);
    tracing::error!(reader = name, shard = %record.shard, position = record.position, entity = %record.entity, %why, "record parked");
    Parked::new(name, record, PROGRAM, why)
}

/// What a reader has parked.
pub(super) async fn parked_by(
    store: &dyn LogStore,
    name: &'static str,
) -> Result<Vec<Parked>, StoreError> {
    let parked = parked::of(&*store.models(), name, PARKED_MAX).await?;
    metrics::gauge!("playhouse_parked_records", "reader" => name).set(parked.len() as f64);
    Ok(parked)
}

/// What of it another program did.
pub(super) async fn parked_before(
    store: &dyn LogStore,
    name: &'static str,
) -> Result<Vec<Parked>, StoreError> {
    let mut parked = parked_by(store, name).await?;
    parked.retain(|parked| parked.program != PROGRAM);
    Ok(parked)
}

/// The log, and what is new in it.
pub type Source = (Arc<dyn LogStore>, Arc<Tail>);

/// Told to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped;

/// Runs a durable follower: every record of the family from where it was before, each at least once.
pub async fn follow(
    source: Source,
    name: &'static str,
    family: Family,
    handler: impl Handler,
) -> Result<Running, StoreError> {
    let follower = Follower {
        lookout: Lookout::new(source.1.clone(), name),
        bookmark: Bookmark::open(source, name, family).await?,
        name,
        saved: Instant::now(),
    };
    Ok(Running::start(|stop| Box::pin(follower.run(handler, stop))))
}

/// The same for what the operator may switch on: what happened before is left alone.
pub(super) async fn follow_from_now(
    (store, tail): Source,
    name: &'static str,
    family: Family,
    handler: impl Handler,
) -> Result<Running, StoreError> {
    if store.models().cursors(name, family).await?.is_empty() {
        let heads = store.heads(family).await?.into_iter();
        let heads = heads.map(|head| CursorAdvance {
            name,
            shard: head.shard,
            from: Some(0),
            position: head.position,
        });
        match store.models().apply(Vec::new(), heads.collect()).await {
            // Another node was a little earlier.
            Ok(()) | Err(StoreError::Overtaken(_)) => {}
            Err(error) => return Err(error),
        }
    }
    follow((store, tail), name, family, handler).await
}

/// A reader of part of what another read goes on where that was, if it has no position of its own or an earlier one.
pub(super) async fn inherit_position(
    store: &dyn LogStore,
    (from, to): (&str, &'static str),
    family: Family,
) -> Result<(), StoreError> {
    if from == to {
        return Ok(());
    }
    let models = store.models();
    let own: BTreeMap<_, _> = models.cursors(to, family).await?.into_iter().collect();
    let inherited = models.cursors(from, family).await?.into_iter();
    let steps = inherited.filter_map(|(number, position)| {
        let own = own.get(&number).copied().unwrap_or(0);
        (own < position).then_some(CursorAdvance {
            name: to,
            shard: Shard { family, number },
            from: Some(own),
            position,
        })
    });
    match models.apply(Vec::new(), steps.collect()).await {
        // Another node was a little earlier.
        Err(StoreError::Overtaken(_)) => Ok(()),
        applied => applied,
    }
}

/// The name of the part of a reader that reads for one shard. There are no more of them than shards.
pub fn numbered(name: &str, number: ShardNumber) -> &'static str {
    static NAMES: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let name = format!("{name}/{number:02}");
    let mut names = NAMES.lock();
    if let Some(known) = names.get(name.as_str()) {
        return known;
    }
    let name: &'static str = Box::leak(name.into_boxed_str());
    names.insert(name);
    name
}

/// What is switched off begins anew when it is switched on again.
pub async fn forget_position(
    store: &dyn LogStore,
    name: &'static str,
    family: Family,
) -> Result<(), StoreError> {
    if store.models().cursors(name, family).await?.is_empty() {
        return Ok(());
    }
    let statement = parked::forget_cursors(name);
    store.models().apply(vec![statement], Vec::new()).await
}

struct Follower {
    bookmark: Bookmark,
    name: &'static str,
    saved: Instant,
    lookout: Lookout,
}

impl Follower {
    async fn run(mut self, mut handler: impl Handler, mut stop: Stop) {
        let mut signal = stop.clone();
        if self.retry(&mut handler, &mut stop).await.is_err() {
            return;
        }
        loop {
            let records = tokio::select! {
                biased;
                () = signal.told() => break,
                () = tokio::time::sleep_until(self.lookout.due()) => {
                    if self.retry(&mut handler, &mut stop).await.is_err() {
                        return;
                    }
                    continue;
                }
                records = self.bookmark.reader.next() => records,
            };
            let Ok(handled) = handler.handle(&records, &mut stop).await else {
                return;
            };
            self.bookmark.note_done();
            let is_due = handled.acted || self.saved.elapsed() >= IDLE_SAVE_INTERVAL;
            if is_due || !handled.parked.is_empty() {
                let parked = handled.parked.iter().map(Parked::park).collect();
                if self.save(parked, &mut stop).await.is_err() {
                    return;
                }
                if !handled.parked.is_empty() {
                    self.lookout.note();
                }
            }
            metrics::counter!("playhouse_follower_records_total", "follower" => self.name)
                .increment(records.len() as u64);
            stop.pause(GATHER).await;
        }
        if let Err(error) = self.bookmark.save(Vec::new()).await {
            tracing::warn!(follower = self.name, %error, "cannot store position");
        }
    }

    /// Handles again what another program has parked, or what somebody wants it to.
    async fn retry(&mut self, handler: &mut impl Handler, stop: &mut Stop) -> Result<(), Stopped> {
        let store = self.bookmark.store().clone();
        let parked = match self.lookout.look(&*store).await {
            Ok(parked) => parked,
            Err(error) => {
                tracing::warn!(follower = self.name, %error, "cannot read what is parked");
                return Ok(());
            }
        };
        for parked in parked {
            let record = match parked.record(&*store).await {
                Ok(record) => record,
                Err(error) => {
                    tracing::warn!(follower = self.name, %error, "cannot read a parked record");
                    continue;
                }
            };
            metrics::gauge!("playhouse_parked_records", "reader" => self.name).decrement(1.0);
            let mut statements = vec![parked.release()];
            if let Some(record) = record {
                let handled = handler.handle(&[record], stop).await?;
                statements.extend(handled.parked.iter().map(Parked::park));
            }
            self.save(statements, stop).await?;
        }
        Ok(())
    }

    /// Stores the position, and what was parked before it. Where another node has come further meanwhile, it goes on from there.
    async fn save(&mut self, statements: Vec<Statement>, stop: &mut Stop) -> Result<(), Stopped> {
        let (mut wait, longest) = RETRY_WAIT;
        loop {
            match self.bookmark.save(statements.clone()).await {
                Ok(()) => break,
                Err(StoreError::Overtaken(_)) => {
                    // It may have parked something.
                    self.lookout.note();
                    return self.bookmark.find_again(stop).await;
                }
                Err(error) => {
                    tracing::warn!(follower = self.name, %error, "cannot store position");
                }
            }
            if !stop.pause(wait).await {
                return Err(Stopped);
            }
            wait = (wait * 2).min(longest);
        }
        self.saved = Instant::now();
        Ok(())
    }
}

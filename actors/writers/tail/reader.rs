//! One follower's way through what is committed: by the channel, and by the log where that has gaps.

use std::{
    collections::BTreeSet,
    mem,
    panic::resume_unwind,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use playhouse_schema::{
    address::{Family, Position, Shard, ShardNumber},
    port::{KnownHeads, LogStore, StoreError, StoredRecord},
};
use tokio::{
    sync::mpsc,
    task::{JoinError, JoinHandle, JoinSet},
    time::{Instant, timeout_at},
};

use super::{Backlog, Batches, Tail};

/// One answer of a reader holds about so many records at most.
const READ_RECORDS_MAX: usize = 512;

/// Waits before the log is asked again after it failed or did not show what its head promises: the first and the longest.
const RETRY_WAIT: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(2));

/// Shards that did not tell how far they are are asked for again so much later.
const PRIME_AGAIN: Duration = Duration::from_secs(5);

/// So long a reader waits for one answer of the log before it goes on with the other shards.
const PATIENCE: Duration = Duration::from_secs(2);

/// A question to the log that goes on while nobody waits for it.
type Asked<T> = JoinHandle<Result<T, StoreError>>;

/// What is waited for beside everything else.
enum Aside {
    /// It is known how far all shards are.
    Primed,
    /// The next records of a shard.
    Page(ShardNumber, Vec<StoredRecord>),
}

/// One follower's way through a family: every record of every shard once, each shard in order. A shard whose database does not answer keeps nobody from reading
/// the others: it is waited for aside.
pub struct TailReader {
    tail: Arc<Tail>,
    family: Family,
    /// The newest position in `ready` or told, by shard.
    cursors: Vec<Position>,
    /// The newest position that was told.
    told: Vec<Position>,
    batches: mpsc::Receiver<Batches>,
    backlog: Arc<Backlog>,
    /// A batch and how much of it was looked at.
    current: Option<(Batches, usize)>,
    /// Positions to read from the log before the channel is looked at again, by shard.
    targets: Vec<(ShardNumber, Position)>,
    /// Read but not told; survives a `next` that was given up.
    ready: Vec<StoredRecord>,
    /// It is known how far all shards are, or asked for aside.
    is_primed: bool,
    /// How long the log may take to answer what it is asked now (of a shard, or how far it is); survives a `next` that was given up.
    patience: Option<(Option<ShardNumber>, Instant)>,
    /// What the log is asked now; the answer survives a `next` that was given up, too: asked anew each time, a log that is slow would never get to give one.
    heads: Option<Asked<KnownHeads>>,
    page: Option<(ShardNumber, Position, Asked<Vec<StoredRecord>>)>,
    /// Shards that are read aside. What comes of them through the channel meanwhile is read from the log later.
    aside: BTreeSet<ShardNumber>,
    tasks: JoinSet<Aside>,
}

impl TailReader {
    /// From the records after these positions, by shard number.
    pub(super) fn new(
        tail: Arc<Tail>,
        family: Family,
        (cursors, batches, backlog): (Vec<Position>, mpsc::Receiver<Batches>, Arc<Backlog>),
    ) -> Self {
        Self {
            tail,
            family,
            told: cursors.clone(),
            cursors,
            batches,
            backlog,
            current: None,
            targets: Vec::new(),
            ready: Vec::new(),
            is_primed: false,
            patience: None,
            heads: None,
            page: None,
            aside: BTreeSet::new(),
            tasks: JoinSet::new(),
        }
    }

    /// The next records, at least one; waits for them, and for the log when that fails. May be given up and called again: nothing is lost.
    pub async fn next(&mut self) -> Vec<StoredRecord> {
        self.prime().await;
        while let Some(done) = self.tasks.try_join_next() {
            self.finish(done);
        }
        while self.ready.is_empty() {
            if self.backlog.overflowed.swap(false, Ordering::AcqRel) {
                self.aim();
            }
            if let Some((shard, target)) = self.targets.last().copied() {
                if self.read(shard, target).await || self.aside.contains(&shard) {
                    self.targets.pop();
                }
                continue;
            }
            self.drain().await;
            if !self.ready.is_empty() {
                break;
            }
            // The channel is empty: what the heads show beyond it never came through it.
            self.aim();
            if self.targets.is_empty() {
                self.receive().await;
            }
        }
        self.told.clone_from(&self.cursors);
        mem::take(&mut self.ready)
    }

    /// The newest position of a shard that [`TailReader::next`] has given out, or the one it started after.
    pub fn position(&self, shard: ShardNumber) -> Position {
        self.told.get(usize::from(shard)).copied().unwrap_or(0)
    }

    /// Waits for the next batch, or for what was asked aside.
    async fn receive(&mut self) {
        tokio::select! {
            biased;
            batch = self.batches.recv() => self.current = batch.map(|batch| (batch, 0)),
            Some(done) = self.tasks.join_next() => self.finish(done),
        }
    }

    /// Takes in what was waited for aside.
    fn finish(&mut self, done: Result<Aside, JoinError>) {
        // What is beyond it is aimed at before the channel is looked at.
        self.backlog.overflowed.store(true, Ordering::Release);
        match done {
            Ok(Aside::Primed) => {}
            Ok(Aside::Page(shard, page)) => {
                self.aside.remove(&shard);
                page.into_iter().for_each(|record| self.take(record));
            }
            Err(error) if error.is_panic() => resume_unwind(error.into_panic()),
            // The runtime ends.
            Err(_) => {}
        }
    }

    /// Until when the log may take to answer what it is asked now.
    fn until(&mut self, asked: Option<ShardNumber>) -> Instant {
        match self.patience {
            Some((of, until)) if of == asked => until,
            _ => {
                let until = Instant::now() + PATIENCE;
                self.patience = Some((asked, until));
                until
            }
        }
    }

    /// Learns how far the log is: a writer may have committed, or another node, before anybody followed. Shards whose database does not tell are asked for
    /// aside: the others are read meanwhile.
    async fn prime(&mut self) {
        if self.is_primed {
            return;
        }
        let until = self.until(None);
        let (tail, family) = (self.tail.clone(), self.family);
        let heads = self.heads.get_or_insert_with(|| {
            tokio::spawn(async move { tail.store.known_heads(family).await })
        });
        let known = timeout_at(until, heads).await.map(answer);
        self.heads = None;
        self.patience = None;
        self.is_primed = true;
        match known {
            Ok(Ok(known)) => {
                self.tail.publish(family, Arc::default(), &known.heads);
                let Some(error) = known.trouble else {
                    return;
                };
                tracing::warn!(%family, shards = ?known.silent, %error, "cannot read heads of some shards");
            }
            Ok(Err(error)) => tracing::warn!(%family, %error, "cannot read heads"),
            Err(_) => tracing::warn!(%family, "the log does not tell how far it is"),
        }
        self.tasks.spawn(primed(self.tail.clone(), family));
    }

    /// Sets the known heads as targets of the shards that are behind them.
    fn aim(&mut self) {
        let Some(tail) = self.tail.families.get(&self.family) else {
            return;
        };
        let heads = (0..).zip(&tail.heads).zip(&self.cursors);
        let heads =
            heads.map(|((shard, head), cursor)| (shard, head.load(Ordering::Acquire), cursor));
        self.targets = heads
            .filter(|(shard, head, cursor)| head > cursor && !self.aside.contains(shard))
            .map(|(shard, head, _)| (shard, head))
            .collect();
    }

    /// Takes what waits in the channel.
    async fn drain(&mut self) {
        while self.ready.len() < READ_RECORDS_MAX {
            if self.current.is_none() {
                self.current = self.batches.try_recv().ok().map(|batch| (batch, 0));
            }
            let Some((batch, seen)) = &self.current else {
                return;
            };
            let Some(record) = batch.get(*seen).cloned() else {
                self.backlog
                    .records
                    .fetch_sub(batch.len(), Ordering::AcqRel);
                self.current = None;
                continue;
            };
            let number = record.shard.number;
            let is_gap = record.position > self.cursor(number) + 1;
            if is_gap && self.aside.contains(&number) {
                self.reach(number, record.position);
            } else if is_gap && !self.read(number, record.position - 1).await {
                continue;
            }
            self.take(record);
            if let Some((_, seen)) = &mut self.current {
                *seen += 1;
            }
        }
    }

    fn cursor(&self, shard: ShardNumber) -> Position {
        self.cursors
            .get(usize::from(shard))
            .copied()
            .unwrap_or(Position::MAX - 1)
    }

    /// A shard has come so far, whatever its head says yet.
    fn reach(&self, shard: ShardNumber, position: Position) {
        if let Some(tail) = self.tail.families.get(&self.family) {
            tail.reach(shard, position);
        }
    }

    fn take(&mut self, record: StoredRecord) {
        if let Some(cursor) = self.cursors.get_mut(usize::from(record.shard.number))
            && record.position == *cursor + 1
        {
            *cursor = record.position;
            self.ready.push(record);
        }
    }

    /// Reads one page of a shard from the log; whether it has come to `target`. When the log does not answer, or does not show what its head promises, the
    /// shard is read aside from then on.
    async fn read(&mut self, shard: ShardNumber, target: Position) -> bool {
        #[cfg(test)]
        if self.tail.skips_gaps.load(Ordering::SeqCst) {
            if let Some(cursor) = self.cursors.get_mut(usize::from(shard)) {
                *cursor = target.max(*cursor);
            }
            return true;
        }
        let cursor = self.cursor(shard);
        if cursor >= target {
            return true;
        }
        let missing = usize::try_from(target - cursor).unwrap_or(usize::MAX);
        let place = Shard {
            family: self.family,
            number: shard,
        };
        let limit = missing.min(READ_RECORDS_MAX);
        let until = self.until(Some(shard));
        self.page
            .take_if(|(of, after, _)| (*of, *after) != (shard, cursor));
        let store = self.tail.store.clone();
        let (.., page) = self.page.get_or_insert_with(|| {
            let page = async move { store.read_shard(place, cursor, limit).await };
            (shard, cursor, tokio::spawn(page))
        });
        let page = timeout_at(until, page).await.map(answer);
        self.page = None;
        self.patience = None;
        match page {
            Ok(Ok(page)) => page.into_iter().for_each(|record| self.take(record)),
            Ok(Err(error)) => tracing::warn!(shard = %place, %error, "cannot read log"),
            Err(_) => tracing::warn!(shard = %place, "the log does not answer"),
        }
        if self.cursor(shard) > cursor {
            return self.cursor(shard) >= target;
        }
        self.aside.insert(shard);
        let store = self.tail.store.clone();
        self.tasks.spawn(async move {
            let page = next_page(&*store, (place, cursor)).await;
            Aside::Page(shard, page)
        });
        false
    }
}

/// What a question to the log came to.
fn answer<T>(joined: Result<Result<T, StoreError>, JoinError>) -> Result<T, StoreError> {
    match joined {
        Ok(answer) => answer,
        Err(error) if error.is_panic() => resume_unwind(error.into_panic()),
        Err(_) => Err(StoreError::Database("the runtime ends".to_owned())),
    }
}

/// Asks how far a family is until all shards have told, and publishes that. That they do not is said already.
async fn primed(tail: Arc<Tail>, family: Family) -> Aside {
    let mut wait = RETRY_WAIT.0;
    loop {
        match tail.store.known_heads(family).await {
            Ok(known) => {
                tail.publish(family, Arc::default(), &known.heads);
                let Some(error) = known.trouble else {
                    return Aside::Primed;
                };
                tracing::debug!(%family, shards = ?known.silent, %error, "cannot read heads of some shards");
                tokio::time::sleep(PRIME_AGAIN).await;
            }
            Err(error) => {
                tracing::debug!(%family, %error, "cannot read heads");
                pause(&mut wait).await;
            }
        }
    }
}

/// The next records of a shard after a position; at least one, however long that takes. That it fails is said already.
async fn next_page(store: &dyn LogStore, (shard, after): (Shard, Position)) -> Vec<StoredRecord> {
    let mut wait = RETRY_WAIT.0;
    loop {
        pause(&mut wait).await;
        match store.read_shard(shard, after, READ_RECORDS_MAX).await {
            Ok(page) if !page.is_empty() => return page,
            Ok(_) => {}
            Err(error) => tracing::debug!(%shard, %error, "cannot read log"),
        }
    }
}

async fn pause(wait: &mut Duration) {
    tokio::time::sleep(*wait).await;
    *wait = (*wait * 2).min(RETRY_WAIT.1);
}

//! The committed records in memory, as they come. Followers read from here; the log closes every gap.

use std::{
    collections::BTreeMap,
    mem,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use playhouse_schema::{
    address::{Family, Position, Shard, ShardNumber},
    port::{Head, LogStore, StoreError, StoredRecord},
};
use tokio::sync::mpsc;

use super::whereabouts::{Readers, Whereabouts};

/// So many batches may wait for one follower; what does not fit it reads from the log.
const FOLLOWER_BATCHES_MAX: usize = 1_024;

/// So many records may wait for one follower.
const FOLLOWER_RECORDS_MAX: usize = 32_768;

/// One answer of a reader holds about so many records at most.
const READ_RECORDS_MAX: usize = 512;

/// Waits before the log is asked again after it failed or did not show what its head promises: the first and the longest.
const RETRY_WAIT: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(2));

/// What the writers of this node have committed.
pub struct Tail {
    store: Arc<dyn LogStore>,
    families: BTreeMap<Family, FamilyTail>,
    relay: OnceLock<Arc<dyn Relay>>,
    readers: Readers,
    /// Its readers pass over what does not come to them, so that a test can show that it would be found.
    #[cfg(test)]
    skips_gaps: AtomicBool,
}

/// Hears what the writers of this node commit, in the order of each shard. Must not wait.
pub trait Relay: Send + Sync + 'static {
    /// Records, and the heads of their shards after them.
    fn committed(&self, family: Family, records: &Arc<[StoredRecord]>, heads: &[Head]);
}

#[derive(Default)]
struct FamilyTail {
    /// The newest known position by shard number.
    heads: Vec<AtomicU64>,
    followers: Mutex<Vec<Follower>>,
}

type Batches = Arc<[StoredRecord]>;

struct Follower {
    sender: mpsc::Sender<Batches>,
    backlog: Arc<Backlog>,
    /// The batch that is being published did not fit.
    missed: bool,
}

/// What a follower has not taken yet.
#[derive(Default)]
struct Backlog {
    records: AtomicUsize,
    /// Something did not fit.
    overflowed: AtomicBool,
}

impl Tail {
    /// A tail to which nothing was published yet.
    pub fn new(store: Arc<dyn LogStore>) -> Self {
        let shards = store.layout().shards;
        let family = |family| {
            let heads = (0..shards).map(|_| AtomicU64::new(0)).collect();
            let followers = Mutex::default();
            (family, FamilyTail { heads, followers })
        };
        Self {
            families: Family::ALL.map(family).into(),
            store,
            relay: OnceLock::new(),
            readers: Readers::default(),
            #[cfg(test)]
            skips_gaps: AtomicBool::new(false),
        }
    }

    /// From now on readers take no gap for one.
    #[cfg(test)]
    pub(crate) fn skip_gaps(&self) {
        self.skips_gaps.store(true, Ordering::SeqCst);
    }

    /// Passes on from now on what the writers of this node commit.
    pub fn relay_to(&self, relay: Arc<dyn Relay>) {
        let _ = self.relay.set(relay);
    }

    /// Hands on what a writer of this node has committed, to other nodes too.
    pub fn committed(&self, family: Family, records: Arc<[StoredRecord]>, heads: &[Head]) {
        if let Some(relay) = self.relay.get() {
            relay.committed(family, &records, heads);
        }
        self.publish(family, records, heads);
    }

    /// Reads how far the log is: for what other nodes have committed and not told.
    pub async fn catch_up(&self, family: Family) -> Result<(), StoreError> {
        let heads = self.store.heads(family).await?;
        self.publish(family, Arc::default(), &heads);
        Ok(())
    }

    /// Hands committed records on, and the heads of the writer's shards after them. Never waits: a follower that is full will read the log.
    pub fn publish(&self, family: Family, records: Arc<[StoredRecord]>, heads: &[Head]) {
        let Some(tail) = self.families.get(&family) else {
            return;
        };
        let mut followers = tail.followers.lock();
        // Records that are all there is up to the heads go first: a follower that saw the heads before them would read the log for nothing.
        let is_whole = tail.distance(heads) == records.len() as u64;
        if !is_whole {
            tail.advance(heads);
        }
        followers.retain_mut(|follower| follower.offer(&records));
        if is_whole {
            tail.advance(heads);
        }
        // Who missed something is told when the heads show it, and woken in case it has emptied its channel meanwhile.
        for follower in followers.iter_mut().filter(|follower| follower.missed) {
            follower.missed = false;
            follower.backlog.overflowed.store(true, Ordering::Release);
            let _ = follower.sender.try_send(Arc::default());
        }
    }

    /// The newest committed position of a shard that is known here; 0 when none is.
    pub fn head(&self, shard: Shard) -> Position {
        let tail = self.families.get(&shard.family);
        let head = tail.and_then(|tail| tail.head(shard.number));
        head.map_or(0, |head| head.load(Ordering::Acquire))
    }

    /// Somebody reads the log by this name, and has come to these positions, by shard number.
    pub fn note_reader(
        &self,
        reader: (&'static str, Family),
        positions: &[Position],
    ) -> Arc<Whereabouts> {
        self.readers.begin(reader, positions)
    }

    /// By how many positions those who read by a name are behind what is known to be written.
    pub fn lags(&self) -> BTreeMap<String, u64> {
        self.readers.lags(|shard| self.head(shard))
    }

    /// Reads all shards of a family, each from the record after the given position; a shard that is not named is read from its beginning.
    pub fn follow(
        self: &Arc<Self>,
        family: Family,
        from: &[(ShardNumber, Position)],
    ) -> TailReader {
        let mut cursors = vec![0; usize::from(self.store.layout().shards)];
        for (shard, position) in from {
            if let Some(cursor) = cursors.get_mut(usize::from(*shard)) {
                *cursor = *position;
            }
        }
        let (sender, batches) = mpsc::channel(FOLLOWER_BATCHES_MAX);
        let backlog = Arc::new(Backlog::default());
        if let Some(tail) = self.families.get(&family) {
            tail.followers.lock().push(Follower {
                sender,
                backlog: backlog.clone(),
                missed: false,
            });
        }
        TailReader {
            tail: self.clone(),
            family,
            told: cursors.clone(),
            cursors,
            batches,
            backlog,
            current: None,
            targets: Vec::new(),
            ready: Vec::new(),
            is_primed: false,
        }
    }
}

impl FamilyTail {
    fn head(&self, shard: ShardNumber) -> Option<&AtomicU64> {
        self.heads.get(usize::from(shard))
    }

    /// How many positions the known heads are behind these.
    fn distance(&self, heads: &[Head]) -> u64 {
        let behind = heads.iter().filter_map(|head| {
            let known = self.head(head.shard.number)?.load(Ordering::Acquire);
            Some(head.position.saturating_sub(known))
        });
        // The heads may be what another node says.
        behind.fold(0, u64::saturating_add)
    }

    fn advance(&self, heads: &[Head]) {
        for head in heads {
            if let Some(known) = self.head(head.shard.number) {
                known.fetch_max(head.position, Ordering::AcqRel);
            }
        }
    }
}

impl Follower {
    /// Whether it still listens.
    fn offer(&mut self, records: &Batches) -> bool {
        let backlog = &self.backlog.records;
        let queued = backlog.fetch_add(records.len(), Ordering::AcqRel);
        let has_room = queued == 0 || queued + records.len() <= FOLLOWER_RECORDS_MAX;
        if has_room && self.sender.try_send(records.clone()).is_ok() {
            return true;
        }
        backlog.fetch_sub(records.len(), Ordering::AcqRel);
        self.missed = true;
        !self.sender.is_closed()
    }
}

/// One follower's way through a family: every record of every shard once, each shard in order.
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
    is_primed: bool,
}

impl TailReader {
    /// The next records, at least one; waits for them, and for the log when that fails. May be given up and called again: nothing is lost.
    pub async fn next(&mut self) -> Vec<StoredRecord> {
        self.prime().await;
        while self.ready.is_empty() {
            if self.backlog.overflowed.swap(false, Ordering::AcqRel) {
                self.aim();
            }
            if let Some((shard, target)) = self.targets.last().copied() {
                if self.read(shard, target).await {
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
            if self.targets.is_empty()
                && let Some(batch) = self.batches.recv().await
            {
                self.current = Some((batch, 0));
            }
        }
        self.told.clone_from(&self.cursors);
        mem::take(&mut self.ready)
    }

    /// The newest position of a shard that [`TailReader::next`] has given out, or the one it started after.
    pub fn position(&self, shard: ShardNumber) -> Position {
        self.told.get(usize::from(shard)).copied().unwrap_or(0)
    }

    /// Learns how far the log is: a writer may have committed, or another node, before anybody followed.
    async fn prime(&mut self) {
        let mut wait = RETRY_WAIT.0;
        while !self.is_primed {
            match self.tail.store.heads(self.family).await {
                Ok(heads) => {
                    self.tail.publish(self.family, Arc::default(), &heads);
                    self.is_primed = true;
                }
                Err(error) => {
                    tracing::warn!(family = %self.family, %error, "cannot read heads");
                    pause(&mut wait).await;
                }
            }
        }
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
            .filter(|(_, head, cursor)| head > cursor)
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
            let cursor = self.cursor(number);
            if record.position > cursor + 1 && !self.read(number, record.position - 1).await {
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

    fn take(&mut self, record: StoredRecord) {
        if let Some(cursor) = self.cursors.get_mut(usize::from(record.shard.number))
            && record.position == *cursor + 1
        {
            *cursor = record.position;
            self.ready.push(record);
        }
    }

    /// Reads one page of a shard from the log; whether it has come to `target`.
    async fn read(&mut self, shard: ShardNumber, target: Position) -> bool {
        #[cfg(test)]
        if self.tail.skips_gaps.load(Ordering::SeqCst) {
            if let Some(cursor) = self.cursors.get_mut(usize::from(shard)) {
                *cursor = target.max(*cursor);
            }
            return true;
        }
        let mut wait = RETRY_WAIT.0;
        loop {
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
            match self.tail.store.read_shard(place, cursor, limit).await {
                Ok(page) => page.into_iter().for_each(|record| self.take(record)),
                Err(error) => tracing::warn!(shard = %place, %error, "cannot read log"),
            }
            if self.cursor(shard) > cursor {
                return self.cursor(shard) >= target;
            }
            pause(&mut wait).await;
        }
    }
}

async fn pause(wait: &mut Duration) {
    tokio::time::sleep(*wait).await;
    *wait = (*wait * 2).min(RETRY_WAIT.1);
}

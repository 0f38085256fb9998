//! The committed records in memory, as they come. Followers read from here; the log closes every gap.

mod reader;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;
use playhouse_schema::{
    address::{Family, Position, Shard, ShardNumber},
    port::{Head, LogStore, StoreError, StoredRecord},
};
use tokio::sync::mpsc;

pub use self::reader::TailReader;
use super::whereabouts::{Readers, Whereabouts};

/// So many batches may wait for one follower; what does not fit it reads from the log.
const FOLLOWER_BATCHES_MAX: usize = 1_024;

/// So many records may wait for one follower.
const FOLLOWER_RECORDS_MAX: usize = 32_768;

/// What the writers of this node have committed.
pub struct Tail {
    store: Arc<dyn LogStore>,
    families: BTreeMap<Family, FamilyTail>,
    relay: OnceLock<Arc<dyn Relay>>,
    readers: Readers,
    /// How often something was parked, or wanted to be tried again.
    parked: AtomicU64,
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
            parked: AtomicU64::new(0),
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
        let known = self.store.known_heads(family).await?;
        self.publish(family, Arc::default(), &known.heads);
        known.trouble.map_or(Ok(()), Err)
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

    /// A reader of this node has parked a record, or somebody here wants one to be tried again that is parked.
    pub fn note_parked(&self) {
        self.parked.fetch_add(1, Ordering::AcqRel);
    }

    /// How often that was noted.
    pub fn parked_notes(&self) -> u64 {
        self.parked.load(Ordering::Acquire)
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
        TailReader::new(self.clone(), family, (cursors, batches, backlog))
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
            self.reach(head.shard.number, head.position);
        }
    }

    /// A shard has come at least so far.
    fn reach(&self, shard: ShardNumber, position: Position) {
        if let Some(known) = self.head(shard) {
            known.fetch_max(position, Ordering::AcqRel);
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

//! A log in memory for tests: deterministic, and it fails, waits, forgets or panics when told to.

mod books;
mod dice;
mod register;
mod silent;

use std::{
    mem,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use playhouse_schema::{
    address::{Entity, Family, Layout, Position, Sequence, Shard, ShardNumber},
    port::{
        Batch, ChainedRecord, EntityHead, EntityRange, Head, KnownHeads, Landed, LogAppender,
        LogStore, ModelStore, Snapshot, StoreError, StoreFuture, StoredRecord,
    },
    register::{Claim, Register},
};

use self::books::Books;
pub(crate) use self::{dice::Dice, register::MemoryRegister};
use crate::env::{Env, Identity, Signer};

/// A world for tests: the real clock and randomness, a server called `test.example`.
pub(crate) fn env() -> Env {
    Env::system(Identity {
        server_name: "test.example".try_into().unwrap(),
        signer: Signer::from_seed("1", &[7; 32]).unwrap(),
    })
}

/// What shall go wrong with the next append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Refused, nothing is written.
    Fail,
    /// Written, but the answer is lost; settling fails so many times before it tells.
    DoubtCommitted { settle_failures: usize },
    /// Not written, and the answer is lost; settling fails so many times before it tells.
    DoubtLost { settle_failures: usize },
    /// The driver panics before anything is written.
    Panic,
}

/// What the log does wrong from now on, so that a test can show that it would be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mistake {
    /// It takes what somebody writes to whom the shard does not belong any more, and what stands at the same place is gone.
    NoEpochs,
    /// It answers before it commits: what it has answered a moment before a shard of rooms gets another owner is gone.
    EarlyAnswers,
}

/// The log in memory.
pub(crate) struct MemoryStore {
    layout: Layout,
    appenders: usize,
    books: Arc<Mutex<Books>>,
    held: Arc<AtomicBool>,
    delay_ms: Arc<AtomicU64>,
    begun: Arc<AtomicU64>,
    passes: Arc<AtomicU64>,
    shard_reads: AtomicU64,
    open_failures: AtomicU64,
    silent: silent::Silent,
    shared: OnceLock<(Arc<dyn ModelStore>, Arc<MemoryRegister>)>,
}

impl MemoryStore {
    /// An empty log of four shards and one appender in each family.
    pub(crate) fn new() -> Arc<Self> {
        Self::with(4, 1)
    }

    /// An empty log.
    pub(crate) fn with(shards: u16, appenders: usize) -> Arc<Self> {
        Arc::new(Self {
            layout: Layout { shards, era: 0 },
            appenders,
            books: Arc::default(),
            held: Arc::default(),
            delay_ms: Arc::default(),
            begun: Arc::default(),
            passes: Arc::default(),
            shard_reads: AtomicU64::new(0),
            open_failures: AtomicU64::new(0),
            silent: silent::Silent::default(),
            shared: OnceLock::new(),
        })
    }

    /// Several nodes share it from now on, and have their read models there.
    pub(crate) fn share(&self, models: Arc<dyn ModelStore>) -> Arc<MemoryRegister> {
        let register = Arc::new(MemoryRegister::new(self.layout));
        let shared = self.shared.get_or_init(|| (models, register));
        shared.1.clone()
    }

    /// Lets a coming append go wrong; several are taken one after the other.
    pub(crate) fn fault(&self, fault: Fault) {
        self.books.lock().faults.push_back(fault);
    }

    /// Does something wrong from now on.
    pub(crate) fn err(&self, mistake: Mistake) {
        self.books.lock().mistake = Some(mistake);
    }

    /// No append ends until [`MemoryStore::release`].
    pub(crate) fn hold(&self) {
        self.held.store(true, Ordering::SeqCst);
    }

    /// Ends [`MemoryStore::hold`].
    pub(crate) fn release(&self) {
        self.held.store(false, Ordering::SeqCst);
    }

    /// Lets one append end while the others are held.
    pub(crate) fn let_one_through(&self) {
        self.passes.fetch_add(1, Ordering::SeqCst);
    }

    /// Waits until so many appends have begun.
    pub(crate) async fn wait_begun(&self, appends: u64) {
        let all = async {
            while self.appends_begun() < appends {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(120), all).await;
        waited.expect("appends begin in time");
    }

    /// Every append takes so long from now on.
    pub(crate) fn delay(&self, delay: Duration) {
        self.delay_ms
            .store(delay.as_millis() as u64, Ordering::SeqCst);
    }

    /// Another owner holds the shard from now on.
    pub(crate) fn fence(&self, shard: Shard) {
        self.books.lock().fenced.insert(shard);
    }

    /// Another owner will have taken these shards when an append in doubt is settled.
    pub(crate) fn lose_at_settling(&self, shards: impl IntoIterator<Item = Shard>) {
        self.books.lock().lost_at_settling.extend(shards);
    }

    /// So many attempts to open an appender fail from now on.
    pub(crate) fn fail_opening(&self, times: u64) {
        self.open_failures.store(times, Ordering::SeqCst);
    }

    /// The number of records of each batch that was written, in order.
    pub(crate) fn batches(&self) -> Vec<usize> {
        self.books.lock().batches.clone()
    }

    /// How many appenders were opened so far.
    pub(crate) fn opened(&self) -> usize {
        self.books.lock().opened
    }

    /// How many appends have begun so far, the failed ones too.
    pub(crate) fn appends_begun(&self) -> u64 {
        self.begun.load(Ordering::SeqCst)
    }

    /// How many times a shard was read.
    pub(crate) fn shard_reads(&self) -> u64 {
        self.shard_reads.load(Ordering::SeqCst)
    }

    /// All records of an entity by sequence.
    pub(crate) fn records_of(&self, entity: &Entity) -> Vec<StoredRecord> {
        let books = self.books.lock();
        books
            .entities
            .range((entity.clone(), 0)..=(entity.clone(), Sequence::MAX))
            .map(|(_, place)| books.record(*place).record.clone())
            .collect()
    }

    /// What is recorded of an entity does not decode any more.
    pub(crate) fn damage(&self, entity: &Entity) {
        let mut books = self.books.lock();
        let records = books.shards.values_mut();
        for chained in records.flat_map(|shelf| &mut shelf.records) {
            if chained.record.entity == *entity {
                chained.record.payload = bytes::Bytes::from_static(&[0xc1]);
            }
        }
    }

    /// The stored snapshot of an entity.
    pub(crate) fn snapshot_of(&self, entity: &Entity) -> Option<Snapshot> {
        self.books.lock().snapshots.get(entity).cloned()
    }
}

struct MemoryAppender {
    family: Family,
    layout: Layout,
    epochs: Vec<(Shard, u64)>,
    books: Arc<Mutex<Books>>,
    held: Arc<AtomicBool>,
    delay_ms: Arc<AtomicU64>,
    begun: Arc<AtomicU64>,
    passes: Arc<AtomicU64>,
}

impl MemoryAppender {
    fn take_pass(&self) -> bool {
        let taken = self
            .passes
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                left.checked_sub(1)
            });
        taken.is_ok()
    }
}

impl LogAppender for MemoryAppender {
    fn heads(&self) -> Vec<Head> {
        let books = self.books.lock();
        self.epochs
            .iter()
            .map(|(shard, _)| books.head(*shard))
            .collect()
    }

    fn take<'a>(&'a mut self, shards: &'a [ShardNumber]) -> StoreFuture<'a, ()> {
        self.let_go(shards);
        let mut books = self.books.lock();
        for number in shards {
            let shard = Shard {
                family: self.family,
                number: *number,
            };
            books.fenced.remove(&shard);
            let shelf = books.shards.entry(shard).or_default();
            shelf.epoch += 1;
            self.epochs.push((shard, shelf.epoch));
        }
        ready(())
    }

    fn take_under<'a>(&'a mut self, claims: &'a [Claim]) -> StoreFuture<'a, ()> {
        let mut books = self.books.lock();
        let mut lost = None;
        for claim in claims {
            books.change_owner(claim.shard);
            let shelf = books.shards.entry(claim.shard).or_default();
            if shelf.epoch >= claim.epoch {
                lost = Some(claim.shard);
                continue;
            }
            shelf.epoch = claim.epoch;
            self.epochs.retain(|(shard, _)| *shard != claim.shard);
            self.epochs.push((claim.shard, claim.epoch));
        }
        let taken = lost.map_or(Ok(()), |shard| Err(StoreError::Fenced(shard)));
        Box::pin(std::future::ready(taken))
    }

    fn let_go(&mut self, shards: &[ShardNumber]) {
        self.epochs
            .retain(|(shard, _)| !shards.contains(&shard.number));
    }

    fn append<'a>(&'a mut self, batch: &'a Batch) -> StoreFuture<'a, Vec<Landed>> {
        Box::pin(async move {
            self.begun.fetch_add(1, Ordering::SeqCst);
            let delay_ms = self.delay_ms.load(Ordering::SeqCst);
            if delay_ms > 0 {
                tokio::time::sleep(Duration::from_millis(delay_ms)).await;
            }
            while self.held.load(Ordering::SeqCst) && !self.take_pass() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let mut books = self.books.lock();
            let fault = books.faults.pop_front();
            match fault {
                Some(Fault::Fail) => return Err(StoreError::Database("told to fail".into())),
                Some(Fault::Panic) => {
                    drop(books);
                    panic!("told to panic");
                }
                Some(Fault::DoubtLost { settle_failures }) => {
                    books.settle_failures = settle_failures;
                    return Err(StoreError::InDoubt("told to doubt".into()));
                }
                Some(Fault::DoubtCommitted { .. }) | None => {}
            }
            books.check(self.layout, &self.epochs, batch)?;
            let landed = books.write(self.layout, batch);
            if let Some(Fault::DoubtCommitted { settle_failures }) = fault {
                books.settle_failures = settle_failures;
                return Err(StoreError::InDoubt("told to doubt".into()));
            }
            Ok(landed)
        })
    }

    fn settle<'a>(&'a mut self, batch: &'a Batch) -> StoreFuture<'a, Option<Vec<Landed>>> {
        let mut books = self.books.lock();
        let lost = mem::take(&mut books.lost_at_settling);
        let first = lost.first().copied();
        books.fenced.extend(lost);
        let settled = if books.settle_failures > 0 {
            books.settle_failures -= 1;
            Err(StoreError::Database("told to fail settling".into()))
        } else if let Some(shard) = first {
            Err(StoreError::Fenced(shard))
        } else {
            Ok(books.settled.get(&batch.id).cloned())
        };
        Box::pin(std::future::ready(settled))
    }
}

/// A future that is there already.
fn ready<'a, T: Send + 'a>(answer: T) -> StoreFuture<'a, T> {
    Box::pin(std::future::ready(Ok(answer)))
}

impl LogStore for MemoryStore {
    fn layout(&self) -> Layout {
        self.layout
    }

    fn appenders(&self, _family: Family) -> usize {
        self.appenders
    }

    fn open_appender(&self, family: Family, index: usize) -> StoreFuture<'_, Box<dyn LogAppender>> {
        let failures = self.open_failures.load(Ordering::SeqCst);
        if failures > 0 {
            self.open_failures.store(failures - 1, Ordering::SeqCst);
            let error = StoreError::Database("told not to open".into());
            return Box::pin(std::future::ready(Err(error)));
        }
        let mut books = self.books.lock();
        books.opened += 1;
        debug_assert!(index < self.appenders);
        ready(Box::new(MemoryAppender {
            family,
            layout: self.layout,
            epochs: Vec::new(),
            books: self.books.clone(),
            held: self.held.clone(),
            delay_ms: self.delay_ms.clone(),
            begun: self.begun.clone(),
            passes: self.passes.clone(),
        }))
    }

    fn heads(&self, family: Family) -> StoreFuture<'_, Vec<Head>> {
        Box::pin(std::future::ready(self.told(family)))
    }

    fn known_heads(&self, family: Family) -> StoreFuture<'_, KnownHeads> {
        ready(self.known(family))
    }

    fn read_entity<'a>(
        &'a self,
        entity: &'a Entity,
        range: EntityRange,
    ) -> StoreFuture<'a, Vec<StoredRecord>> {
        let mut records = self.records_of(entity);
        records.retain(|record| (range.from..=range.to).contains(&record.sequence));
        if range.backwards {
            records.reverse();
        }
        records.truncate(range.limit);
        ready(records)
    }

    fn read_some<'a>(
        &'a self,
        entity: &'a Entity,
        sequences: &'a [Sequence],
    ) -> StoreFuture<'a, Vec<StoredRecord>> {
        let mut records = self.records_of(entity);
        records.retain(|record| sequences.contains(&record.sequence));
        ready(records)
    }

    fn entity_heads<'a>(
        &'a self,
        entities: &'a [Entity],
    ) -> StoreFuture<'a, Vec<Option<EntityHead>>> {
        let heads = entities.iter().map(|entity| {
            self.records_of(entity).last().map(|last| EntityHead {
                shard: last.shard,
                position: last.position,
                sequence: last.sequence,
            })
        });
        ready(heads.collect())
    }

    fn find<'a>(&'a self, family: Family, key: &'a str) -> StoreFuture<'a, Option<StoredRecord>> {
        let books = self.books.lock();
        let place = books.keys.get(&(family, Arc::from(key)));
        ready(place.map(|place| books.record(*place).record.clone()))
    }

    fn read_shard(
        &self,
        shard: Shard,
        after: Position,
        limit: usize,
    ) -> StoreFuture<'_, Vec<StoredRecord>> {
        self.shard_reads.fetch_add(1, Ordering::SeqCst);
        if let Some(error) = self.refusal(shard) {
            return Box::pin(std::future::ready(Err(error)));
        }
        let chained = self.chained(shard, after, limit);
        let page = chained.into_iter().map(|chained| chained.record).collect();
        let wait = self.reading_time();
        Box::pin(async move {
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
            Ok(page)
        })
    }

    fn read_chain(
        &self,
        shard: Shard,
        after: Position,
        limit: usize,
    ) -> StoreFuture<'_, Vec<ChainedRecord>> {
        ready(self.chained(shard, after, limit))
    }

    fn load_snapshot<'a>(&'a self, entity: &'a Entity) -> StoreFuture<'a, Option<Snapshot>> {
        ready(self.snapshot_of(entity))
    }

    fn save_snapshot<'a>(&'a self, entity: &'a Entity, snapshot: Snapshot) -> StoreFuture<'a, ()> {
        let mut books = self.books.lock();
        let held = books.snapshots.get(entity).map(|held| held.sequence);
        if held.is_none_or(|held| held <= snapshot.sequence) {
            books.snapshots.insert(entity.clone(), snapshot);
        }
        ready(())
    }

    fn drop_snapshot<'a>(&'a self, entity: &'a Entity) -> StoreFuture<'a, ()> {
        self.books.lock().snapshots.remove(entity);
        ready(())
    }

    fn scrub(&self) -> StoreFuture<'_, ()> {
        ready(())
    }

    fn drop_snapshots(&self) -> StoreFuture<'_, ()> {
        self.books.lock().snapshots.clear();
        ready(())
    }

    fn models(&self) -> Arc<dyn ModelStore> {
        let shared = self.shared.get();
        let shared = shared.expect("the log in memory has no read models of its own");
        shared.0.clone()
    }

    fn register(&self) -> Option<Arc<dyn Register>> {
        let (_, register) = self.shared.get()?;
        Some(register.clone())
    }

    fn size_bytes(&self) -> StoreFuture<'_, u64> {
        ready(0)
    }
}

impl MemoryStore {
    fn chained(&self, shard: Shard, after: Position, limit: usize) -> Vec<ChainedRecord> {
        let books = self.books.lock();
        let shelf = books.shards.get(&shard);
        let records = shelf.map_or(&[][..], |shelf| &shelf.records);
        let rest = records.iter().skip(after as usize).take(limit);
        rest.cloned().collect()
    }
}

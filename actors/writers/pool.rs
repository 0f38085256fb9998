//! The pools: which writer serves a shard, how much may wait for it, and what happens when it dies.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use actix::{Actor, Addr};
use actix_rt::{Arbiter, System};
use parking_lot::RwLock;
use playhouse_schema::{
    address::{Family, Shard, ShardNumber},
    port::{LogAppender, LogStore, StoreError},
    register::Claim,
};
use tokio::sync::oneshot;

use super::{
    desk::{Desk, Queued},
    tail::Tail,
    writer::{Birth, Close, Enqueue, Knell, Turn, Turning, Writer},
};
use crate::{
    env::Env,
    kernel::append::{Append, AppendError, Log},
};

/// Bounds of the writers.
#[derive(Clone, Copy, Debug)]
pub struct PoolLimits {
    /// So many records may wait for one writer.
    pub queue_records_max: usize,
    /// So many payload bytes may wait for one writer.
    pub queue_bytes_max: usize,
    /// So many records go into one transaction. An append that must land as a whole is never split: a larger one is a batch of its own.
    pub batch_records_max: usize,
    /// The first wait before a dead writer's shards are opened again; it doubles up to hundredfold.
    pub reopen_after_ms: u64,
}

impl Default for PoolLimits {
    fn default() -> Self {
        Self {
            queue_records_max: 16_384,
            queue_bytes_max: 64 << 20,
            batch_records_max: 512,
            reopen_after_ms: 50,
        }
    }
}

/// The writer pools of the three families. Metrics go to the recorder that is installed when they are opened.
pub struct Pools {
    families: BTreeMap<Family, Vec<Arc<Seat>>>,
    keepers: parking_lot::Mutex<Vec<oneshot::Receiver<()>>>,
    tail: Arc<Tail>,
    limits: PoolLimits,
    system: System,
}

/// Where the present writer of a desk is found; none while its shards are being opened again.
struct Seat {
    desk: Arc<Desk>,
    writer: RwLock<Option<Addr<Writer>>>,
}

/// What is needed to start a writer.
#[derive(Clone)]
struct House {
    store: Arc<dyn LogStore>,
    env: Env,
    tail: Arc<Tail>,
    limits: PoolLimits,
    /// There is no other node.
    is_alone: bool,
}

/// A writer's thread, and whether the writer has ended.
struct Running {
    arbiter: Arbiter,
    dead: Arc<AtomicBool>,
}

impl Pools {
    /// Opens all appenders of the store, each with a thread of its own, and a tail over them. Any async runtime will do. All shards are taken at once.
    pub async fn open(
        store: Arc<dyn LogStore>,
        env: Env,
        limits: PoolLimits,
    ) -> Result<Arc<Self>, StoreError> {
        Self::open_among(store, env, (limits, true)).await
    }

    /// As [`Pools::open`]; unless this node is alone no shard is taken before [`Pools::take`].
    pub async fn open_among(
        store: Arc<dyn LogStore>,
        env: Env,
        (limits, is_alone): (PoolLimits, bool),
    ) -> Result<Arc<Self>, StoreError> {
        let system = start_system()
            .map_err(|error| StoreError::Database(format!("cannot start writers: {error}")))?;
        let house = House {
            tail: Arc::new(Tail::new(store.clone())),
            store,
            env,
            limits,
            is_alone,
        };
        let mut pools = Self {
            families: BTreeMap::new(),
            keepers: parking_lot::Mutex::default(),
            tail: house.tail.clone(),
            limits,
            system,
        };
        for family in Family::ALL {
            let mut seats = Vec::new();
            for index in 0..house.store.appenders(family).max(1) {
                seats.push(pools.seat(family, index, &house).await?);
            }
            pools.families.insert(family, seats);
        }
        Ok(Arc::new(pools))
    }

    /// What the writers have committed, as it comes.
    pub fn tail(&self) -> Arc<Tail> {
        self.tail.clone()
    }

    /// How many records wait for each writer.
    pub fn queued_records(&self) -> BTreeMap<Family, Vec<u64>> {
        let queued = |seat: &Arc<Seat>| seat.desk.queued_records() as u64;
        let families = self.families.iter();
        families
            .map(|(family, seats)| (*family, seats.iter().map(queued).collect()))
            .collect()
    }

    /// The shards that another owner was found to hold. Nothing is written to them any more.
    pub fn fenced_shards(&self) -> Vec<Shard> {
        let mut shards = Vec::new();
        for (family, seats) in &self.families {
            for seat in seats {
                let fenced = seat.desk.fenced().into_iter();
                shards.extend(fenced.map(|number| Shard {
                    family: *family,
                    number,
                }));
            }
        }
        shards
    }

    /// Takes a shard under a new epoch, whoever holds it, and writes to it again. The owner before can write nothing more. Actors of the shard that are still
    /// awake here know nothing of what was written elsewhere meanwhile: they must have gone before anybody asks for this.
    pub async fn retake(&self, shard: Shard) -> Result<(), StoreError> {
        self.turn(shard, Turn::Seize(shard.number)).await
    }

    /// Writes claimed shards from now on. Of each the actors that were awake here before must have gone. Those that the log refuses are told.
    pub async fn take(&self, claims: &[Claim]) -> Vec<(Shard, StoreError)> {
        let taken = claims.iter().map(|claim| async move {
            let taken = self.turn(claim.shard, Turn::Take(*claim)).await;
            taken.err().map(|error| (claim.shard, error))
        });
        let taken = futures_util::future::join_all(taken).await;
        taken.into_iter().flatten().collect()
    }

    /// Writes a shard no more, once all that was handed in for it is written. Its actors must have gone.
    pub async fn let_go(&self, shard: Shard) -> Result<(), StoreError> {
        self.turn(shard, Turn::LetGo(shard.number)).await
    }

    async fn turn(&self, shard: Shard, turn: Turn) -> Result<(), StoreError> {
        let ended = || StoreError::Database(format!("no writer serves shard {shard}"));
        let seat = self.seat_of(shard.family, shard.number).ok_or_else(ended)?;
        let (told, outcome) = oneshot::channel();
        if let Some(writer) = &*seat.writer.read() {
            writer.do_send(Turning { turn, told });
        }
        outcome.await.unwrap_or_else(|_| Err(ended()))
    }

    /// Takes nothing in any more, commits what was taken in, and ends the writers. What is not committed when the time is up fails.
    pub async fn close(&self, within: Duration) {
        for seat in self.families.values().flatten() {
            seat.desk.close();
        }
        let keepers = std::mem::take(&mut *self.keepers.lock());
        let all = async {
            for keeper in keepers {
                let _ = keeper.await;
            }
        };
        if tokio::time::timeout(within, all).await.is_err() {
            tracing::warn!("writers did not end in time");
        }
        self.system.stop();
    }

    async fn seat(
        &self,
        family: Family,
        index: usize,
        house: &House,
    ) -> Result<Arc<Seat>, StoreError> {
        let seat = Arc::new(Seat {
            desk: Arc::new(Desk::new(family, index)),
            writer: RwLock::new(None),
        });
        let (opened, opening) = oneshot::channel();
        let (ended, end) = oneshot::channel();
        let (kept, house) = (seat.clone(), house.clone());
        self.system.arbiter().spawn(async move {
            match kept.start(&house).await {
                Ok(running) => {
                    let _ = opened.send(Ok(()));
                    kept.keep(&house, running).await;
                }
                Err(error) => {
                    let _ = opened.send(Err(error));
                }
            }
            let _ = ended.send(());
        });
        opening
            .await
            .map_err(|_| StoreError::Database("the writers' thread ended".into()))??;
        self.keepers.lock().push(end);
        Ok(seat)
    }

    fn seat_of(&self, family: Family, shard: u16) -> Option<&Arc<Seat>> {
        let seats = self.families.get(&family)?;
        seats.get(usize::from(shard) % seats.len())
    }
}

impl Log for Pools {
    fn has_room(&self, family: Family, shard: u16) -> bool {
        self.seat_of(family, shard).is_some_and(|seat| {
            seat.desk.queued_records() < self.limits.queue_records_max
                && seat.desk.queued_bytes() < self.limits.queue_bytes_max
                && !seat.desk.is_closed()
                && seat.writer.read().is_some()
        })
    }

    fn append(&self, append: Append) {
        let Some(seat) = self.seat_of(append.family, append.shard) else {
            append.lineage.break_off();
            (append.done)(Err(AppendError::Failed("no such family".into())));
            return;
        };
        let queued = Queued::new(seat.desk.clone(), append);
        if seat.desk.is_closed() {
            queued.lineage.break_off();
            queued.finish(Err(AppendError::Failed("the writers are closed".into())));
            return;
        }
        // Without a living writer the append is dropped here, which answers it.
        if let Some(writer) = &*seat.writer.read() {
            writer.do_send(Enqueue(queued));
        }
    }
}

impl Drop for Pools {
    fn drop(&mut self) {
        for seat in self.families.values().flatten() {
            seat.desk.close();
        }
        self.system.stop();
    }
}

impl Seat {
    /// Watches over the writer of this seat until the pools close.
    async fn keep(&self, house: &House, mut running: Running) {
        loop {
            self.desk.trouble.notified().await;
            if self.desk.is_closed() {
                break;
            }
            if running.dead.load(Ordering::Acquire) {
                let Some(next) = self.replace(house, running).await else {
                    self.desk.bury();
                    return;
                };
                running = next;
            }
            self.desk.bury();
        }
        let writer = self.writer.write().take();
        if let Some(writer) = writer {
            let (closed, closing) = oneshot::channel();
            writer.do_send(Close(closed));
            // An error means that it died meanwhile: nothing is left to wait for.
            let _ = closing.await;
        }
        running.end().await;
        self.desk.bury();
    }

    /// A new writer for a dead one; `None` when the pools close meanwhile.
    async fn replace(&self, house: &House, dead: Running) -> Option<Running> {
        let (family, writer) = (self.desk.family, self.desk.index);
        tracing::error!(%family, writer, "writer died, its shards are opened again");
        metrics::counter!("playhouse_writer_deaths_total", "family" => family.name()).increment(1);
        self.writer.write().take();
        // Only when its thread has ended has everything it held been dropped, and so every lineage in it broken.
        dead.end().await;
        let mut wait_ms = house.limits.reopen_after_ms.max(1);
        loop {
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(wait_ms)) => {}
                () = self.closed() => return None,
            }
            match self.start(house).await {
                Ok(running) => return Some(running),
                Err(error) => tracing::error!(%family, writer, %error, "cannot open appender"),
            }
            wait_ms = (wait_ms * 2).min(house.limits.reopen_after_ms.max(1) * 100);
        }
    }

    async fn closed(&self) {
        while !self.desk.is_closed() {
            self.desk.trouble.notified().await;
        }
    }

    /// Opens the appender on a thread of its own, so that a driver's background tasks run there too, and starts a writer with it.
    async fn start(&self, house: &House) -> Result<Running, StoreError> {
        let arbiter = Arbiter::try_new()
            .map_err(|error| StoreError::Database(format!("cannot start thread: {error}")))?;
        let running = Running {
            arbiter,
            dead: Arc::new(AtomicBool::new(false)),
        };
        let (opened, opening) = oneshot::channel();
        let (store, family, index) = (house.store.clone(), self.desk.family, self.desk.index);
        let own = (0..house.store.layout().shards)
            .skip(index)
            .step_by(house.store.appenders(family).max(1));
        // What a dead writer held is to be claimed anew, where others may have claimed it.
        own.clone()
            .filter(|_| !house.is_alone)
            .for_each(|number| self.desk.fence(number));
        let fenced = self.desk.fenced();
        let wanted: Vec<_> = own.filter(|number| !fenced.contains(number)).collect();
        running.arbiter.spawn(async move {
            let _ = opened.send(open(&*store, (family, index), wanted).await);
        });
        let appender = match opening.await {
            Ok(Ok(appender)) => appender,
            Ok(Err(error)) => {
                running.end().await;
                return Err(error);
            }
            Err(_) => {
                running.end().await;
                return Err(StoreError::Database("opening an appender panicked".into()));
            }
        };
        let birth = Birth {
            knell: Knell::new(running.dead.clone(), self.desk.clone()),
            desk: self.desk.clone(),
            env: house.env.clone(),
            tail: house.tail.clone(),
            limits: house.limits,
            appender,
        };
        let start = move |_: &mut actix::Context<Writer>| Writer::new(birth);
        let writer = Writer::start_in_arbiter(&running.arbiter.handle(), start);
        *self.writer.write() = Some(writer);
        Ok(running)
    }
}

/// Opens an appender and takes shards.
async fn open(
    store: &dyn LogStore,
    (family, index): (Family, usize),
    wanted: Vec<ShardNumber>,
) -> Result<Box<dyn LogAppender>, StoreError> {
    let mut appender = store.open_appender(family, index).await?;
    appender.take(&wanted).await?;
    Ok(appender)
}

impl Running {
    /// Stops the thread and waits for its end.
    async fn end(self) {
        self.arbiter.stop();
        let _ = tokio::task::spawn_blocking(move || self.arbiter.join()).await;
    }
}

/// A thread whose only work is to look after the writers, so that they do not depend on the runtime that opened them.
fn start_system() -> io::Result<System> {
    let (started, starting) = std::sync::mpsc::sync_channel(1);
    thread::Builder::new()
        .name("writers".into())
        .spawn(move || {
            let runner = System::new();
            let _ = started.send(System::current());
            let _ = runner.run();
        })?;
    starting.recv().map_err(io::Error::other)
}

//! Where the awake actors of one kind are found; wakes them on the first message and puts idle ones to sleep.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use dashmap::{DashMap, Entry};
use parking_lot::Mutex;
use playhouse_schema::{
    address::{Entity, Layout, Shard},
    port::LogStore,
};
use ractor::{Actor, ActorProcessingErr, ActorRef, ActorStatus, SupervisionEvent};
use tokio::sync::{Notify, Semaphore};
use tracing::Instrument as _;

use super::{
    append::Log,
    domain::{Domain, Unavailable},
    keeper::{Birth, Keeper, Mail},
    parcel::across,
    reach::{Question, Told},
    spans,
    vitals::{Ticket, Vitals, Whisper},
    ways::{Errand, Ways},
};

/// Bounds of a directory.
#[derive(Clone, Copy, Debug)]
pub struct DirectoryLimits {
    /// So many actors stay awake at most; beyond it the longest idle ones sleep.
    pub residents_max: usize,
    /// So many bytes may the awake actors' states take, by their own estimate.
    pub weight_bytes_max: usize,
    /// An actor that was not called for so long sleeps.
    pub idle_ms: u64,
    /// How often idle actors are looked for.
    pub sweep_every_ms: u64,
    /// So many calls may wait for one actor, and so many signals.
    pub calls_per_actor_max: usize,
    /// So many calls may wait for all of them.
    pub calls_max: usize,
    /// A command or query that takes longer is given up.
    pub call_timeout_ms: u64,
}

impl Default for DirectoryLimits {
    fn default() -> Self {
        Self {
            residents_max: 20_000,
            weight_bytes_max: 512 << 20,
            idle_ms: 10 * 60 * 1000,
            sweep_every_ms: 5_000,
            calls_per_actor_max: 4_096,
            calls_max: 65_536,
            call_timeout_ms: 30_000,
        }
    }
}

pub(super) struct Slot<D: Domain> {
    pub(super) actor: ActorRef<Mail<D>>,
    vitals: Arc<Vitals>,
    shard: Shard,
    pub(super) leaving: bool,
}

type Found<D> = (ActorRef<Mail<D>>, Arc<Vitals>);

impl<D: Domain> Slot<D> {
    /// Whether it takes mail.
    fn is_open(&self) -> bool {
        !self.leaving && self.actor.get_status() < ActorStatus::Draining
    }

    /// Whether it may sleep: it runs (drained before that it would forget its mail and overtake its previous life), waits for nothing and nobody calls it.
    fn is_resting(&self) -> bool {
        !self.leaving
            && self.actor.get_status() == ActorStatus::Running
            && !self.vitals.busy.load(Ordering::Relaxed)
            && self.vitals.calls.load(Ordering::Acquire) == 0
            && self.vitals.signals.load(Ordering::Acquire) == 0
    }
}

/// The awake actors of one kind on this node.
pub struct Directory<D: Domain> {
    pub(super) slots: DashMap<Entity, Slot<D>>,
    /// Those whose next life shall not believe their snapshot.
    pub(super) anew: Mutex<BTreeSet<Entity>>,
    pub(super) context: Arc<D::Context>,
    store: Arc<dyn LogStore>,
    log: Arc<dyn Log>,
    pub(super) layout: Layout,
    pub(super) ways: Ways,
    limits: DirectoryLimits,
    calls: Arc<AtomicUsize>,
    /// Calls that are under way where there are other nodes, wherever they are. As many as may wait for all actors here.
    pub(super) travelling: Semaphore,
    /// Slots in use, roughly: exact after each sweep.
    awake: AtomicUsize,
    crowded: Arc<Notify>,
    is_closed: AtomicBool,
    started: Instant,
    runtime: tokio::runtime::Handle,
    supervisor: ActorRef<()>,
}

impl<D: Domain> Directory<D> {
    /// A directory whose actors run on the current tokio runtime, where there is no other node.
    pub async fn new(
        context: Arc<D::Context>,
        store: Arc<dyn LogStore>,
        log: Arc<dyn Log>,
        limits: DirectoryLimits,
    ) -> Result<Arc<Self>, ractor::SpawnErr> {
        Self::among(Ways::Alone, context, (store, log), limits).await
    }

    /// As [`Directory::new`], where there may be other nodes.
    pub async fn among(
        ways: Ways,
        context: Arc<D::Context>,
        (store, log): (Arc<dyn LogStore>, Arc<dyn Log>),
        limits: DirectoryLimits,
    ) -> Result<Arc<Self>, ractor::SpawnErr> {
        let (supervisor, _) = Actor::spawn(None, Supervisor(D::NAME), ()).await?;
        let directory = Arc::new(Self {
            slots: DashMap::new(),
            anew: Mutex::default(),
            context,
            layout: store.layout(),
            ways,
            store,
            log,
            limits,
            calls: Arc::default(),
            travelling: Semaphore::new(limits.calls_max.min(Semaphore::MAX_PERMITS)),
            awake: AtomicUsize::new(0),
            crowded: Arc::default(),
            is_closed: AtomicBool::new(false),
            started: Instant::now(),
            runtime: tokio::runtime::Handle::current(),
            supervisor,
        });
        ractor::concurrency::spawn(sweep_often(Arc::downgrade(&directory), limits));
        Ok(directory)
    }

    /// Tells an entity to do something and waits until it is durable.
    pub async fn command(&self, entity: Entity, command: D::Command) -> Result<D::Reply, D::Error> {
        let timeout = Duration::from_millis(self.limits.call_timeout_ms);
        let told = self.reach(entity, Told::<D>(across(command)), timeout);
        across(told.instrument(spans::command(D::NAME)).await)
    }

    /// Asks an entity.
    pub async fn query(&self, entity: Entity, query: D::Query) -> Result<D::Answer, D::Error> {
        self.query_within(
            entity,
            query,
            Duration::from_millis(self.limits.call_timeout_ms),
        )
        .await
    }

    /// Asks an entity something that may take long, a long poll for example.
    pub async fn query_within(
        &self,
        entity: Entity,
        query: D::Query,
        timeout: Duration,
    ) -> Result<D::Answer, D::Error> {
        let told = self.reach(entity, Question::<D>(across(query)), timeout);
        across(told.instrument(spans::query(D::NAME)).await)
    }

    /// Lets an entity hear something, if it is awake; whether it will, where it is on this node.
    pub fn signal_if_awake(&self, entity: &Entity, signal: D::Signal) -> bool {
        let signal = self.signal_there(entity, signal, Errand::SignalIfAwake);
        signal.is_some_and(|signal| self.signal_if_awake_here(entity, signal))
    }

    pub(super) fn signal_if_awake_here(&self, entity: &Entity, signal: D::Signal) -> bool {
        let found = self
            .slots
            .get(entity)
            .map(|slot| (slot.actor.clone(), slot.vitals.clone()));
        found.is_some_and(|found| self.whisper(found, signal))
    }

    /// Lets an entity hear something, and wakes it for that; whether it will, where it is on this node.
    pub fn signal(&self, entity: &Entity, signal: D::Signal) -> bool {
        let signal = self.signal_there(entity, signal, Errand::Signal);
        signal.is_some_and(|signal| self.signal_here(entity, signal))
    }

    pub(super) fn signal_here(&self, entity: &Entity, signal: D::Signal) -> bool {
        let found = self.find(entity);
        found.is_some_and(|found| self.whisper(found, signal))
    }

    fn whisper(&self, (actor, vitals): Found<D>, signal: D::Signal) -> bool {
        let signal = across(signal);
        Whisper::take(&vitals, self.limits.calls_per_actor_max)
            .is_some_and(|whisper| actor.cast(Mail::Signal(signal, Some(whisper))).is_ok())
    }

    /// Lets all who are awake on this node hear something.
    pub fn signal_awake(&self, signal: impl Fn() -> D::Signal) {
        for slot in &self.slots {
            let _ = slot.actor.cast(Mail::Signal(signal(), None));
        }
    }

    /// Whether there is no other node.
    pub fn is_alone(&self) -> bool {
        matches!(self.ways, Ways::Alone)
    }

    /// Whether somebody who waits so long waits for something to happen, and not only for an answer.
    pub(super) fn is_long(&self, timeout: Duration) -> bool {
        timeout > Duration::from_millis(self.limits.call_timeout_ms)
    }

    /// Whether new calls are refused.
    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::SeqCst)
    }

    /// How many are awake.
    pub fn residents(&self) -> usize {
        self.slots.len()
    }

    /// Puts all to sleep: what is queued is served first, new calls are refused. Ends when all have ended or the time is up.
    pub async fn close(&self, within: Duration) {
        self.is_closed.store(true, Ordering::SeqCst);
        self.drain(within, |_| true).await;
    }

    /// Puts all of a shard to sleep, as [`Directory::close`] does with all there are; whether all have ended. The map of shards must say before that the shard
    /// is not served here any more: who is called from then on is not woken.
    pub async fn release(&self, shard: Shard, within: Duration) -> bool {
        self.drain(within, |slot| slot.shard == shard).await
    }

    /// Ends all of a shard at once. What waits for them is lost, and so is what they have not committed: another node may hold the shard.
    pub fn abandon(&self, shard: Shard) {
        for slot in &self.slots {
            if slot.shard == shard {
                slot.actor.kill();
            }
        }
    }

    /// Whether all that were meant have ended.
    async fn drain(&self, within: Duration, is_meant: impl Fn(&Slot<D>) -> bool) -> bool {
        let deadline = Instant::now() + within;
        loop {
            // Who is only waking yet is waited for: drained before it runs it would forget its mail.
            let mut left = 0;
            for slot in &self.slots {
                if !is_meant(&slot) {
                    continue;
                }
                match slot.actor.get_status() {
                    ActorStatus::Stopped => continue,
                    ActorStatus::Running => drop(slot.actor.drain()),
                    _ => {}
                }
                left += 1;
            }
            if left == 0 {
                return true;
            }
            if Instant::now() >= deadline {
                tracing::warn!(kind = D::NAME, left, "actors did not end in time");
                return false;
            }
            tokio::time::sleep(CLOSE_POLL).await;
        }
    }

    pub(super) fn ticket(&self, vitals: &Arc<Vitals>) -> Result<Arc<Ticket>, Unavailable> {
        let (all, one) = (self.limits.calls_max, self.limits.calls_per_actor_max);
        Ticket::take(&self.calls, all, vitals, one).ok_or(Unavailable::Overloaded)
    }

    /// The present life of an entity, or its next one; `None` when the directory is closed, or the entity is not served here.
    pub(super) fn find(&self, entity: &Entity) -> Option<Found<D>> {
        let now_ms = self.started.elapsed().as_millis() as u64;
        if let Some(slot) = self.slots.get(entity)
            && slot.is_open()
        {
            slot.vitals.touched_ms.store(now_ms, Ordering::Relaxed);
            return Some((slot.actor.clone(), slot.vitals.clone()));
        }
        let shard = self.layout.shard_of(entity);
        match self.slots.entry(entity.clone()) {
            // Asked under the entry's lock: who closes afterwards sees the new slot.
            _ if self.is_closed() || !self.ways.is_here(shard) => None,
            Entry::Vacant(entry) => {
                let slot = self.spawn((entity, shard), None, now_ms);
                let found = (slot.actor.clone(), slot.vitals.clone());
                entry.insert(slot);
                if self.awake.fetch_add(1, Ordering::Relaxed) >= self.limits.residents_max {
                    self.crowded.notify_one();
                }
                Some(found)
            }
            Entry::Occupied(mut entry) => {
                let slot = entry.get();
                if !slot.is_open() {
                    let previous = (slot.actor.get_cell(), slot.vitals.clone());
                    let next = self.spawn((entity, shard), Some(previous), now_ms);
                    entry.insert(next);
                }
                let slot = entry.get();
                Some((slot.actor.clone(), slot.vitals.clone()))
            }
        }
    }

    /// As `find`, but never the life that has just refused.
    pub(super) fn find_after(
        &self,
        entity: &Entity,
        refused: &ActorRef<Mail<D>>,
    ) -> Option<Found<D>> {
        if let Some(mut slot) = self.slots.get_mut(entity)
            && slot.actor.get_id() == refused.get_id()
        {
            slot.leaving = true;
        }
        self.find(entity)
    }

    fn spawn(
        &self,
        (entity, shard): (&Entity, Shard),
        after: Option<(ractor::ActorCell, Arc<Vitals>)>,
        now_ms: u64,
    ) -> Slot<D> {
        // Callers may be on a single-threaded HTTP runtime; actors live on the domain runtime.
        let _runtime = self.runtime.enter();
        let vitals = Arc::new(Vitals::default());
        vitals.touched_ms.store(now_ms, Ordering::Relaxed);
        let birth = Birth {
            entity: entity.clone(),
            shard,
            context: self.context.clone(),
            store: self.store.clone(),
            log: self.log.clone(),
            vitals: vitals.clone(),
            lease: self.ways.lease(),
            after,
            anew: self.anew.lock().remove(entity),
        };
        let (actor, _) = ractor::ActorRuntime::spawn_linked_instant(
            None,
            Keeper::<D>::new(),
            birth,
            self.supervisor.get_cell(),
        )
        .expect("only a taken name can refuse a spawn, and actors have none");
        Slot {
            actor,
            vitals,
            shard,
            leaving: false,
        }
    }

    /// Puts to sleep who was idle too long, then the longest idle ones until the bounds hold. An actor that waits or is being called stays.
    fn sweep(&self) {
        let now_ms = self.started.elapsed().as_millis() as u64;
        // A life whose appends may still land stays in its slot, so that the next one waits for them.
        self.slots.retain(|_, slot| {
            slot.actor.get_status() != ActorStatus::Stopped || slot.vitals.has_flights()
        });
        let mut idle = Vec::new();
        let (mut awake, mut weight) = (0, 0);
        for slot in &self.slots {
            if slot.leaving {
                continue;
            }
            awake += 1;
            weight += slot.vitals.weight_bytes.load(Ordering::Relaxed);
            if slot.is_resting() {
                let touched_ms = slot.vitals.touched_ms.load(Ordering::Relaxed);
                idle.push((touched_ms, slot.key().clone()));
            }
        }
        self.awake.store(self.slots.len(), Ordering::Relaxed);
        metrics::gauge!("playhouse_actors_awake", "kind" => D::NAME).set(awake as f64);
        metrics::gauge!("playhouse_actors_weight_bytes", "kind" => D::NAME).set(weight as f64);
        idle.sort_unstable();
        for (touched_ms, entity) in idle {
            let over = awake > self.limits.residents_max || weight > self.limits.weight_bytes_max;
            if !over && now_ms.saturating_sub(touched_ms) < self.limits.idle_ms {
                break;
            }
            // It may have been called since, or be another life.
            if let Some(mut slot) = self.slots.get_mut(&entity)
                && slot.is_resting()
                && slot.vitals.touched_ms.load(Ordering::Relaxed) == touched_ms
            {
                slot.leaving = true;
                weight = weight.saturating_sub(slot.vitals.weight_bytes.load(Ordering::Relaxed));
                awake -= 1;
                let _ = slot.actor.drain();
            }
        }
    }
}

impl<D: Domain> Drop for Directory<D> {
    fn drop(&mut self) {
        // Its children end with it.
        self.supervisor.stop(None);
    }
}

/// Another node waits for an answer no longer than this, whatever it says.
pub(super) const CALL_MAX: Duration = Duration::from_secs(600);

/// How often a closing directory looks whether all have ended.
const CLOSE_POLL: Duration = Duration::from_millis(2);

/// Sweeps are at least so far apart, however crowded it is.
const SWEEP_PAUSE: Duration = Duration::from_millis(50);

async fn sweep_often<D: Domain>(directory: Weak<Directory<D>>, limits: DirectoryLimits) {
    let every = Duration::from_millis(limits.sweep_every_ms.max(1));
    let Some(crowded) = directory.upgrade().map(|found| found.crowded.clone()) else {
        return;
    };
    loop {
        if tokio::time::timeout(every, crowded.notified())
            .await
            .is_ok()
        {
            tokio::time::sleep(SWEEP_PAUSE.min(every)).await;
        }
        let Some(directory) = directory.upgrade() else {
            return;
        };
        directory.sweep();
    }
}

/// Hears of actors that end by a failure, and says so. The next message wakes a new life from the log.
struct Supervisor(&'static str);

impl Actor for Supervisor {
    type Msg = ();
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _myself: ActorRef<()>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _myself: ActorRef<()>,
        event: SupervisionEvent,
        _state: &mut (),
    ) -> Result<(), ActorProcessingErr> {
        if let SupervisionEvent::ActorFailed(_, error) = event {
            metrics::counter!("playhouse_actor_failures_total", "kind" => self.0).increment(1);
            tracing::error!(kind = self.0, %error, "actor failed");
        }
        Ok(())
    }
}

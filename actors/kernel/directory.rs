//! Where the awake actors of one kind are found; wakes them on the first message and puts idle ones to sleep.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use dashmap::{DashMap, Entry};
use playhouse_schema::{
    address::{Entity, Layout},
    port::LogStore,
};
use ractor::{Actor, ActorProcessingErr, ActorRef, ActorStatus, RpcReplyPort, SupervisionEvent};

use super::{
    append::Log,
    domain::{Domain, Port, Unavailable},
    keeper::{Birth, Keeper, Mail, Vitals},
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
    /// So many calls may wait for one actor.
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
            calls_per_actor_max: 4_096,
            calls_max: 65_536,
            call_timeout_ms: 30_000,
        }
    }
}

struct Slot<D: Domain> {
    actor: ActorRef<Mail<D>>,
    vitals: Arc<Vitals>,
    leaving: bool,
}

/// The awake actors of one kind on this node.
pub struct Directory<D: Domain> {
    slots: DashMap<Entity, Slot<D>>,
    context: Arc<D::Context>,
    store: Arc<dyn LogStore>,
    log: Arc<dyn Log>,
    layout: Layout,
    limits: DirectoryLimits,
    calls: AtomicUsize,
    started: Instant,
    runtime: tokio::runtime::Handle,
    supervisor: ActorRef<()>,
}

impl<D: Domain> Directory<D> {
    /// A directory whose actors run on the current tokio runtime.
    pub async fn new(
        context: Arc<D::Context>,
        store: Arc<dyn LogStore>,
        log: Arc<dyn Log>,
        limits: DirectoryLimits,
    ) -> Result<Arc<Self>, ractor::SpawnErr> {
        let (supervisor, _) = Actor::spawn(None, Supervisor(D::NAME), ()).await?;
        let directory = Arc::new(Self {
            slots: DashMap::new(),
            context,
            layout: store.layout(),
            store,
            log,
            limits,
            calls: AtomicUsize::new(0),
            started: Instant::now(),
            runtime: tokio::runtime::Handle::current(),
            supervisor,
        });
        let sweeper = Arc::downgrade(&directory);
        ractor::concurrency::spawn(async move {
            loop {
                tokio::time::sleep(SWEEP_INTERVAL).await;
                let Some(directory) = sweeper.upgrade() else {
                    return;
                };
                directory.sweep();
            }
        });
        Ok(directory)
    }

    /// Tells an entity to do something and waits until it is durable.
    pub async fn command(&self, entity: Entity, command: D::Command) -> Result<D::Reply, D::Error> {
        let timeout = Duration::from_millis(self.limits.call_timeout_ms);
        self.call(entity, timeout, |port| Mail::Command(command, port))
            .await
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
        self.call(entity, timeout, |port| Mail::Query(query, port))
            .await
    }

    /// Lets an entity hear something, if it is awake.
    pub fn signal_if_awake(&self, entity: &Entity, signal: D::Signal) -> bool {
        self.slots
            .get(entity)
            .is_some_and(|slot| slot.actor.cast(Mail::Signal(signal)).is_ok())
    }

    /// Lets an entity hear something, and wakes it for that.
    pub fn signal(&self, entity: &Entity, signal: D::Signal) {
        let (actor, _) = self.find(entity);
        let _ = actor.cast(Mail::Signal(signal));
    }

    /// How many are awake.
    pub fn residents(&self) -> usize {
        self.slots.len()
    }

    /// Puts all to sleep: what is queued is served first. Ends when all have ended or the time is up.
    pub async fn close(&self, within: Duration) {
        let actors: Vec<_> = self.slots.iter().map(|slot| slot.actor.clone()).collect();
        for actor in &actors {
            let _ = actor.drain();
        }
        let deadline = tokio::time::Instant::now() + within;
        for actor in actors {
            if tokio::time::timeout_at(deadline, actor.wait(None))
                .await
                .is_err()
            {
                tracing::warn!(kind = D::NAME, "actors did not end in time");
                return;
            }
        }
    }

    async fn call<T: Send + 'static>(
        &self,
        entity: Entity,
        timeout: Duration,
        mail: impl FnOnce(Port<T, D::Error>) -> Mail<D>,
    ) -> Result<T, D::Error> {
        let _all =
            Ticket::take(&self.calls, self.limits.calls_max).ok_or(Unavailable::Overloaded)?;
        let (sender, receiver) = ractor::concurrency::oneshot();
        let mut mail = mail(RpcReplyPort::from(sender));
        let (mut actor, mut vitals) = self.find(&entity);
        let _one = loop {
            let called = vitals.clone();
            let ticket = CallTicket::take(called, self.limits.calls_per_actor_max)
                .ok_or(Unavailable::Overloaded)?;
            match actor.send_message(mail) {
                Ok(()) => break ticket,
                // An actor on its way to sleep refuses: the message comes back unread and goes to its next life.
                Err(ractor::MessagingErr::SendErr(unread)) => mail = unread,
                Err(_) => return Err(Unavailable::Stopped.into()),
            }
            (actor, vitals) = self.find_after(&entity, &actor);
        };
        match tokio::time::timeout(timeout, receiver).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(Unavailable::Stopped.into()),
            Err(_) => Err(Unavailable::Timeout.into()),
        }
    }

    fn find(&self, entity: &Entity) -> (ActorRef<Mail<D>>, Arc<Vitals>) {
        let now_ms = self.started.elapsed().as_millis() as u64;
        if let Some(slot) = self.slots.get(entity)
            && !slot.leaving
            && slot.actor.get_status() < ActorStatus::Draining
        {
            slot.vitals.touched_ms.store(now_ms, Ordering::Relaxed);
            return (slot.actor.clone(), slot.vitals.clone());
        }
        match self.slots.entry(entity.clone()) {
            Entry::Vacant(entry) => {
                let slot = self.spawn(entity, None, now_ms);
                let found = (slot.actor.clone(), slot.vitals.clone());
                entry.insert(slot);
                found
            }
            Entry::Occupied(mut entry) => {
                let slot = entry.get();
                if slot.leaving || slot.actor.get_status() >= ActorStatus::Draining {
                    let next = self.spawn(entity, Some(slot.actor.get_cell()), now_ms);
                    entry.insert(next);
                }
                let slot = entry.get();
                (slot.actor.clone(), slot.vitals.clone())
            }
        }
    }

    /// As `find`, but never the life that has just refused.
    fn find_after(
        &self,
        entity: &Entity,
        refused: &ActorRef<Mail<D>>,
    ) -> (ActorRef<Mail<D>>, Arc<Vitals>) {
        if let Some(mut slot) = self.slots.get_mut(entity)
            && slot.actor.get_id() == refused.get_id()
        {
            slot.leaving = true;
        }
        self.find(entity)
    }

    fn spawn(&self, entity: &Entity, after: Option<ractor::ActorCell>, now_ms: u64) -> Slot<D> {
        // Callers may be on a single-threaded HTTP runtime; actors live on the domain runtime.
        let _runtime = self.runtime.enter();
        let vitals = Arc::new(Vitals::default());
        vitals.touched_ms.store(now_ms, Ordering::Relaxed);
        let birth = Birth {
            entity: entity.clone(),
            shard: self.layout.shard_of(entity),
            context: self.context.clone(),
            store: self.store.clone(),
            log: self.log.clone(),
            vitals: vitals.clone(),
            after,
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
            leaving: false,
        }
    }

    /// Puts to sleep who was idle too long, then the longest idle ones until the bounds hold. An actor that waits or is being called stays.
    fn sweep(&self) {
        let now_ms = self.started.elapsed().as_millis() as u64;
        self.slots
            .retain(|_, slot| slot.actor.get_status() != ActorStatus::Stopped);
        let mut idle = Vec::new();
        let mut weight = 0;
        for slot in &self.slots {
            weight += slot.vitals.weight_bytes.load(Ordering::Relaxed);
            let resting = !slot.leaving
                && !slot.vitals.busy.load(Ordering::Relaxed)
                && slot.vitals.calls.load(Ordering::Relaxed) == 0;
            if resting {
                idle.push((
                    slot.vitals.touched_ms.load(Ordering::Relaxed),
                    slot.key().clone(),
                ));
            }
        }
        metrics::gauge!("playhouse_actors_awake", "kind" => D::NAME).set(self.slots.len() as f64);
        metrics::gauge!("playhouse_actors_weight_bytes", "kind" => D::NAME).set(weight as f64);
        idle.sort_unstable();
        let mut awake = self.slots.len();
        for (touched_ms, entity) in idle {
            let over = awake > self.limits.residents_max || weight > self.limits.weight_bytes_max;
            if !over && now_ms.saturating_sub(touched_ms) < self.limits.idle_ms {
                break;
            }
            if let Some(mut slot) = self.slots.get_mut(&entity) {
                slot.leaving = true;
                weight = weight.saturating_sub(slot.vitals.weight_bytes.load(Ordering::Relaxed));
                awake -= 1;
                let _ = slot.actor.drain();
            }
        }
    }
}

/// How often idle actors are looked for.
const SWEEP_INTERVAL: Duration = Duration::from_secs(5);

/// One call that is under way.
struct Ticket<'a>(&'a AtomicUsize);

impl<'a> Ticket<'a> {
    fn take(counter: &'a AtomicUsize, max: usize) -> Option<Self> {
        if counter.fetch_add(1, Ordering::Relaxed) >= max {
            counter.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(Self(counter))
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One call of one actor that is under way.
struct CallTicket(Arc<Vitals>);

impl CallTicket {
    fn take(vitals: Arc<Vitals>, max: usize) -> Option<Self> {
        if vitals.calls.fetch_add(1, Ordering::Relaxed) >= max {
            vitals.calls.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(Self(vitals))
    }
}

impl Drop for CallTicket {
    fn drop(&mut self) {
        self.0.calls.fetch_sub(1, Ordering::Relaxed);
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

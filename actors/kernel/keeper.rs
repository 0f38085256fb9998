//! The mailbox loop of every domain actor: decide, append, apply, answer.
//!
//! It never waits for a commit inside its handler. A decision is applied at once and handed to the writers; the reply leaves when the commit is
//! acknowledged. Queries wait for what was decided before them, so nobody reads what could still be lost.

use std::{
    collections::VecDeque,
    marker::PhantomData,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};

use playhouse_schema::{
    address::{Entity, Sequence, Shard},
    port::{Erasure, Landed, LogStore, NewRecord, Snapshot},
    record::codec::Record as _,
};
use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::{
    append::{Append, Lineage, Log},
    domain::{Committed, Decision, Domain, Myself, Port, Resident, Unavailable},
    wake,
};

/// What a domain actor receives.
pub(super) enum Mail<D: Domain> {
    /// Do something, and tell the caller when it is durable.
    Command(D::Command, Port<D::Reply, D::Error>),
    /// Answer something.
    Query(D::Query, Port<D::Answer, D::Error>),
    /// Hear something.
    Signal(D::Signal),
    /// The writers have committed the oldest append in flight.
    Landed(Vec<Landed>),
    /// The writers could not: everything decided since is void.
    Failed(String),
}

impl<D: Domain> ractor::Message for Mail<D> {}

/// What the directory reads about an actor without asking it.
#[derive(Default)]
pub(super) struct Vitals {
    /// When it was last called, milliseconds of the directory's clock.
    pub(super) touched_ms: AtomicU64,
    /// Calls that have no answer yet.
    pub(super) calls: AtomicUsize,
    /// It waits for something and must stay awake.
    pub(super) busy: AtomicBool,
    /// Rough memory use.
    pub(super) weight_bytes: AtomicUsize,
}

/// What an actor is started with.
pub(super) struct Birth<D: Domain> {
    pub(super) entity: Entity,
    pub(super) shard: Shard,
    pub(super) context: Arc<D::Context>,
    pub(super) store: Arc<dyn LogStore>,
    pub(super) log: Arc<dyn Log>,
    /// What the directory wants to know of it.
    pub(super) vitals: Arc<Vitals>,
    /// The previous life of the same entity, which must have ended before the log is read.
    pub(super) after: Option<ractor::ActorCell>,
}

/// The ractor actor behind a domain.
pub(super) struct Keeper<D>(PhantomData<fn() -> D>);

impl<D> Keeper<D> {
    pub(super) fn new() -> Self {
        Self(PhantomData)
    }
}

/// Everything an awake actor owns.
pub(super) struct Kept<D: Domain> {
    resident: Resident<D>,
    shard: Shard,
    store: Arc<dyn LogStore>,
    log: Arc<dyn Log>,
    vitals: Arc<Vitals>,
    lineage: Lineage,
    /// Appends that the writers have not acknowledged: first sequence and number of records.
    in_flight: VecDeque<(Sequence, usize)>,
    /// Queries that wait for the appends in flight when they came: how many appends must still land.
    waiting: VecDeque<(u64, D::Query, Port<D::Answer, D::Error>)>,
    appended: u64,
    landed: u64,
    records_since_snapshot: u64,
}

impl<D: Domain> Actor for Keeper<D> {
    type Msg = Mail<D>;
    type State = Kept<D>;
    type Arguments = Birth<D>;

    async fn pre_start(
        &self,
        myself: ActorRef<Mail<D>>,
        birth: Birth<D>,
    ) -> Result<Kept<D>, ActorProcessingErr> {
        if let Some(previous) = &birth.after {
            let _ = previous.wait(None).await;
        }
        let woken = wake::wake::<D>(&*birth.store, &birth.entity)
            .await
            .inspect_err(|error| {
                tracing::error!(entity = %birth.entity, %error, "cannot wake actor");
            })?;
        metrics::counter!("playhouse_actor_wakes_total", "kind" => D::NAME).increment(1);
        let mut resident = Resident {
            entity: birth.entity,
            state: Arc::new(woken.state),
            live: D::Live::default(),
            context: birth.context,
            sequence: woken.sequence,
            position: woken.position,
            myself: Myself(myself),
        };
        D::woken(&mut resident);
        Ok(Kept {
            resident,
            shard: birth.shard,
            store: birth.store,
            log: birth.log,
            vitals: birth.vitals,
            lineage: Lineage::default(),
            in_flight: VecDeque::new(),
            waiting: VecDeque::new(),
            appended: 0,
            landed: 0,
            records_since_snapshot: woken.records_since_snapshot,
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<Mail<D>>,
        mail: Mail<D>,
        kept: &mut Kept<D>,
    ) -> Result<(), ActorProcessingErr> {
        match mail {
            Mail::Command(command, port) => kept.command(&myself, command, port),
            Mail::Query(query, port) if kept.in_flight.is_empty() => {
                D::answer(&mut kept.resident, query, port)
            }
            Mail::Query(query, port) => kept.waiting.push_back((kept.appended, query, port)),
            Mail::Signal(signal) => D::signal(&mut kept.resident, signal),
            Mail::Landed(landed) => kept.landed(&landed),
            Mail::Failed(reason) => {
                tracing::error!(entity = %kept.resident.entity, reason, "append failed, actor ends and will wake from the log");
                myself.stop(None);
            }
        }
        kept.report();
        Ok(())
    }

    async fn post_stop(
        &self,
        _myself: ActorRef<Mail<D>>,
        kept: &mut Kept<D>,
    ) -> Result<(), ActorProcessingErr> {
        if kept.in_flight.is_empty()
            && !kept.lineage.is_broken()
            && kept.records_since_snapshot >= SNAPSHOT_AT_SLEEP_RECORDS
        {
            let (store, entity, snapshot) = kept.snapshot();
            if let Err(error) = store.save_snapshot(&entity, snapshot).await {
                tracing::warn!(%entity, %error, "cannot save snapshot");
            }
        }
        Ok(())
    }
}

/// Going to sleep with at least so many records since the last snapshot writes one.
const SNAPSHOT_AT_SLEEP_RECORDS: u64 = 50;

impl<D: Domain> Kept<D> {
    fn command(
        &mut self,
        myself: &ActorRef<Mail<D>>,
        command: D::Command,
        port: Port<D::Reply, D::Error>,
    ) {
        if self.lineage.is_broken() {
            let _ = port.send(Err(Unavailable::Stopped.into()));
            return;
        }
        if !self.log.has_room(self.shard.family, self.shard.number) {
            let _ = port.send(Err(Unavailable::Overloaded.into()));
            return;
        }
        match self.resident.state.decide(command, &self.resident.context) {
            Err(error) => {
                let _ = port.send(Err(error));
            }
            Ok(decision)
                if decision.records.is_empty()
                    && decision.erasures.is_empty()
                    && self.in_flight.is_empty() =>
            {
                let _ = port.send(Ok(decision.reply));
            }
            Ok(decision) => self.append(myself, decision, port),
        }
    }

    fn append(
        &mut self,
        myself: &ActorRef<Mail<D>>,
        decision: Decision<D>,
        port: Port<D::Reply, D::Error>,
    ) {
        let Decision {
            records,
            erasures,
            reply,
        } = decision;
        let first = self.resident.sequence + 1;
        let entity = self.resident.entity.clone();
        let state = Arc::make_mut(&mut self.resident.state);
        let mut encoded = Vec::with_capacity(records.len());
        for record in &records {
            self.resident.sequence += 1;
            state.apply(self.resident.sequence, 0, record);
            encoded.push(NewRecord {
                entity: entity.clone(),
                sequence: self.resident.sequence,
                kind: record.kind(),
                key: record.key().map(Into::into),
                payload: record.encode(),
            });
        }
        let erasures: Vec<_> = erasures
            .into_iter()
            .map(|(target, payload)| {
                // The store writes one record of its own for each erasure.
                self.resident.sequence += 1;
                let note = self.resident.sequence;
                state.erased(note, Some((target, &payload)));
                Erasure {
                    entity: entity.clone(),
                    target,
                    note,
                    payload,
                }
            })
            .collect();
        self.in_flight
            .push_back((first, encoded.len() + erasures.len()));
        self.appended += 1;
        self.records_since_snapshot += (encoded.len() + erasures.len()) as u64;
        let myself = myself.clone();
        self.log.append(Append {
            family: self.shard.family,
            shard: self.shard.number,
            records: encoded,
            erasures,
            lineage: self.lineage.clone(),
            done: Box::new(move |outcome| match outcome {
                // The actor hears of it before the caller does: a query that the caller sends next must find it.
                Ok(landing) => {
                    let _ = myself.cast(Mail::Landed(landing.landed));
                    let _ = port.send(Ok(reply));
                }
                Err(error) => {
                    let _ = myself.cast(Mail::Failed(error.to_string()));
                    let _ = port.send(Err(Unavailable::Stopped.into()));
                }
            }),
        });
    }

    fn landed(&mut self, landed: &[Landed]) {
        let Some((first, count)) = self.in_flight.pop_front() else {
            return;
        };
        self.landed += 1;
        let committed: Vec<_> = (first..)
            .zip(landed)
            .map(|(sequence, landed)| Committed {
                sequence,
                position: landed.position,
            })
            .collect();
        debug_assert!(committed.len() <= count, "an append lands whole");
        if let Some(last) = committed.last() {
            self.resident.position = last.position;
        }
        D::committed(&mut self.resident, &committed);
        while self
            .waiting
            .front()
            .is_some_and(|(appended, ..)| *appended <= self.landed)
        {
            if let Some((_, query, port)) = self.waiting.pop_front() {
                D::answer(&mut self.resident, query, port);
            }
        }
        if self.in_flight.is_empty()
            && self
                .resident
                .state
                .snapshot_due(self.records_since_snapshot)
        {
            let (store, entity, snapshot) = self.snapshot();
            self.records_since_snapshot = 0;
            ractor::concurrency::spawn(async move {
                if let Err(error) = store.save_snapshot(&entity, snapshot).await {
                    tracing::warn!(%entity, %error, "cannot save snapshot");
                }
            });
        }
    }

    fn report(&self) {
        self.vitals.busy.store(
            !self.in_flight.is_empty() || D::is_busy(&self.resident.live),
            Ordering::Relaxed,
        );
        self.vitals
            .weight_bytes
            .store(self.resident.state.weight_bytes(), Ordering::Relaxed);
    }

    fn snapshot(&self) -> (Arc<dyn LogStore>, Entity, Snapshot) {
        let payload = self.resident.state.to_snapshot();
        let snapshot = Snapshot {
            sequence: self.resident.sequence,
            version: D::SNAPSHOT_VERSION,
            payload,
        };
        (self.store.clone(), self.resident.entity.clone(), snapshot)
    }
}

//! The mailbox loop of every domain actor: decide, append, apply, answer.
//!
//! It never waits for a commit inside its handler. A decision is applied at once and handed to the writers; the reply leaves when the commit is
//! acknowledged. Queries wait for what was decided before them, so nobody reads what could still be lost.

use std::{
    collections::VecDeque,
    marker::PhantomData,
    sync::{Arc, atomic::Ordering},
};

use playhouse_schema::{
    address::{Entity, Sequence, Shard},
    port::{Erasure, LogStore, NewRecord, Snapshot},
    record::codec::Record as _,
};
use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::{
    append::{Append, Landing, Lineage, Log},
    domain::{Committed, Decision, Domain, Myself, Port, Resident, Unavailable},
    vitals::{IDLE_CAPACITY_MAX, Outcome, Ticket, Vitals, Whisper},
    wake,
};

/// What a domain actor receives.
pub(super) enum Mail<D: Domain> {
    /// Do something, and tell the caller when it is durable.
    Command(D::Command, Port<D::Reply, D::Error>, Arc<Ticket>),
    /// Answer something.
    Query(D::Query, Port<D::Answer, D::Error>, Arc<Ticket>),
    /// Hear something; what an actor tells itself is not counted.
    Signal(D::Signal, Option<Whisper>),
    /// The outcomes of appends wait in the vitals. Not in the mail itself, since an actor that drains refuses mail and must hear of them still.
    Settled,
}

impl<D: Domain> Mail<D> {
    /// The same call with another ticket.
    pub(super) fn with(self, ticket: Arc<Ticket>) -> Self {
        match self {
            Mail::Command(command, port, _) => Mail::Command(command, port, ticket),
            Mail::Query(query, port, _) => Mail::Query(query, port, ticket),
            other => other,
        }
    }
}

impl<D: Domain> ractor::Message for Mail<D> {}

/// What an actor is started with.
pub(super) struct Birth<D: Domain> {
    pub(super) entity: Entity,
    pub(super) shard: Shard,
    pub(super) context: Arc<D::Context>,
    pub(super) store: Arc<dyn LogStore>,
    pub(super) log: Arc<dyn Log>,
    /// What the directory wants to know of it.
    pub(super) vitals: Arc<Vitals>,
    /// The previous life of the same entity: it must have ended, and its appends must have landed or failed, before the log is read.
    pub(super) after: Option<(ractor::ActorCell, Arc<Vitals>)>,
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
    /// As the hooks see it: what is durable.
    resident: Resident<D>,
    /// The state with what is in flight applied: what commands are judged on.
    ahead: Arc<D>,
    ahead_sequence: Sequence,
    shard: Shard,
    store: Arc<dyn LogStore>,
    log: Arc<dyn Log>,
    vitals: Arc<Vitals>,
    lineage: Lineage,
    /// Appends whose outcome is not known, oldest first.
    in_flight: VecDeque<InFlight<D>>,
    /// Queries that wait for the appends in flight when they came.
    waiting: VecDeque<Waiting<D>>,
    appended: u64,
    landed: u64,
    records_since_snapshot: u64,
}

/// An append whose outcome is not known.
struct InFlight<D> {
    /// The number of its first record, and of the last one that the store writes for it.
    sequences: (Sequence, Sequence),
    /// The state once it has landed.
    state: Arc<D>,
}

struct Waiting<D: Domain> {
    /// So many appends of this life must have landed.
    landed: u64,
    query: D::Query,
    port: Port<D::Answer, D::Error>,
    _ticket: Arc<Ticket>,
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
        if let Some((previous, vitals)) = &birth.after {
            let _ = previous.wait(None).await;
            vitals.settled().await;
        }
        let woken = wake::wake::<D>(&*birth.store, &birth.entity)
            .await
            .inspect_err(|error| {
                tracing::error!(entity = %birth.entity, %error, "cannot wake actor");
            })?;
        metrics::counter!("playhouse_actor_wakes_total", "kind" => D::NAME).increment(1);
        let ahead = Arc::new(woken.state);
        let mut resident = Resident {
            entity: birth.entity,
            state: ahead.clone(),
            live: D::Live::default(),
            context: birth.context,
            sequence: woken.sequence,
            position: woken.position,
            myself: Myself(myself),
        };
        D::woken(&mut resident);
        Ok(Kept {
            resident,
            ahead,
            ahead_sequence: woken.sequence,
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
            Mail::Command(command, port, ticket) => kept.command(&myself, command, port, ticket),
            Mail::Query(query, port, ticket) => kept.query(query, port, ticket),
            Mail::Signal(signal, _whisper) => D::signal(&mut kept.resident, signal),
            Mail::Settled => {
                while let Some(outcome) = kept.vitals.outcome() {
                    if !kept.settle(outcome) {
                        myself.stop(None);
                        break;
                    }
                }
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
        // What came in before the drain was decided during it: who waits for that is answered before the end.
        while !kept.in_flight.is_empty() && !kept.lineage.is_broken() {
            let outcome = kept.vitals.arrival().await;
            if !kept.settle(outcome) {
                break;
            }
        }
        if !kept.lineage.is_broken() && kept.records_since_snapshot >= SNAPSHOT_AT_SLEEP_RECORDS {
            kept.save_snapshot().await;
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
        ticket: Arc<Ticket>,
    ) {
        if self.lineage.is_broken() {
            let _ = port.send(Err(Unavailable::Stopped.into()));
            return;
        }
        if !self.log.has_room(self.shard.family, self.shard.number) {
            let _ = port.send(Err(Unavailable::Overloaded.into()));
            return;
        }
        match self.ahead.decide(command, &self.resident.context) {
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
            Ok(decision) => self.append(myself, decision, port, ticket),
        }
    }

    fn query(&mut self, query: D::Query, port: Port<D::Answer, D::Error>, ticket: Arc<Ticket>) {
        if self.in_flight.is_empty() {
            D::answer(&mut self.resident, query, port);
            return;
        }
        self.waiting.push_back(Waiting {
            landed: self.appended,
            query,
            port,
            _ticket: ticket,
        });
    }

    fn append(
        &mut self,
        myself: &ActorRef<Mail<D>>,
        decision: Decision<D>,
        port: Port<D::Reply, D::Error>,
        ticket: Arc<Ticket>,
    ) {
        let (records, erasures) = self.apply(decision.records, decision.erasures);
        let reply = decision.reply;
        let flight = self.vitals.depart();
        let myself = myself.clone();
        self.log.append(Append {
            family: self.shard.family,
            shard: self.shard.number,
            records,
            erasures,
            lineage: self.lineage.clone(),
            done: Box::new(move |outcome| {
                let _ticket = ticket;
                let answer = match &outcome {
                    Ok(_) => Ok(reply),
                    Err(_) => Err(Unavailable::Stopped.into()),
                };
                // The actor hears of it before the caller does: a query that the caller sends next must find it.
                if flight.arrive(outcome) {
                    let _ = myself.cast(Mail::Settled);
                }
                let _ = port.send(answer);
            }),
        });
    }

    /// Applies a decision to the state ahead and notes it as in flight.
    fn apply(
        &mut self,
        records: Vec<D::Record>,
        erasures: Vec<(Sequence, bytes::Bytes)>,
    ) -> (Vec<NewRecord>, Vec<Erasure>) {
        let first = self.ahead_sequence + 1;
        let entity = &self.resident.entity;
        let mut encoded = Vec::with_capacity(records.len());
        let mut replaced = Vec::with_capacity(erasures.len());
        if !records.is_empty() || !erasures.is_empty() {
            let state = Arc::make_mut(&mut self.ahead);
            for record in &records {
                self.ahead_sequence += 1;
                state.apply(self.ahead_sequence, 0, record);
                encoded.push(NewRecord {
                    entity: entity.clone(),
                    sequence: self.ahead_sequence,
                    kind: record.kind(),
                    key: record.key().map(Into::into),
                    payload: record.encode(),
                });
            }
            for (target, payload) in erasures {
                // The store writes one record of its own for each erasure.
                self.ahead_sequence += 1;
                state.erased(self.ahead_sequence, Some((target, &payload)));
                replaced.push(Erasure {
                    entity: entity.clone(),
                    target,
                    note: self.ahead_sequence,
                    payload,
                });
            }
        }
        self.appended += 1;
        self.in_flight.push_back(InFlight {
            sequences: (first, self.ahead_sequence),
            state: self.ahead.clone(),
        });
        (encoded, replaced)
    }

    /// Takes in the outcome of the oldest append; whether life goes on.
    fn settle(&mut self, outcome: Outcome) -> bool {
        match outcome {
            Ok(landing) => {
                self.land(&landing);
                true
            }
            Err(error) => {
                // The writers have done so; an append that was given up on the way has not seen one.
                self.lineage.break_off();
                tracing::error!(entity = %self.resident.entity, %error, "append failed, actor ends and will wake from the log");
                false
            }
        }
    }

    fn land(&mut self, landing: &Landing) {
        let Some(landed) = self.in_flight.pop_front() else {
            return;
        };
        let (first, last) = landed.sequences;
        self.landed += 1;
        self.records_since_snapshot += last + 1 - first;
        self.resident.state = landed.state;
        self.resident.sequence = last;
        let committed: Vec<_> = (first..)
            .zip(&landing.landed)
            .map(|(sequence, landed)| Committed {
                sequence,
                position: landed.position,
            })
            .collect();
        if let Some(last) = committed.last() {
            self.resident.position = last.position;
        }
        D::committed(&mut self.resident, &committed);
        while let Some(waiting) = self.waiting.pop_front_if(|next| next.landed <= self.landed) {
            D::answer(&mut self.resident, waiting.query, waiting.port);
        }
        if self
            .resident
            .state
            .snapshot_due(self.records_since_snapshot)
        {
            self.records_since_snapshot = 0;
            let save = self.save_snapshot();
            ractor::concurrency::spawn(save);
        }
    }

    fn report(&mut self) {
        if self.in_flight.is_empty() && self.in_flight.capacity() > IDLE_CAPACITY_MAX {
            self.in_flight = VecDeque::new();
            self.waiting = VecDeque::new();
        }
        self.vitals.busy.store(
            !self.in_flight.is_empty() || D::is_busy(&self.resident.live),
            Ordering::Relaxed,
        );
        self.vitals
            .weight_bytes
            .store(self.resident.state.weight_bytes(), Ordering::Relaxed);
    }

    /// Writes what is durable as a snapshot. Encoding happens in the future, not in the mailbox loop.
    fn save_snapshot(&self) -> impl Future<Output = ()> + Send + 'static {
        let (store, entity) = (self.store.clone(), self.resident.entity.clone());
        let (state, sequence) = (self.resident.state.clone(), self.resident.sequence);
        async move {
            let snapshot = Snapshot {
                sequence,
                version: D::SNAPSHOT_VERSION,
                payload: state.to_snapshot(),
            };
            drop(state);
            if let Err(error) = store.save_snapshot(&entity, snapshot).await {
                tracing::warn!(%entity, %error, "cannot save snapshot");
            }
        }
    }
}

//! The mailbox loop of every domain actor: decide, append, apply, answer.
//!
//! It never waits for a commit inside its handler. A decision is applied at once and handed to the writers; the reply leaves when the commit is
//! acknowledged. Commands follow each other without a pause; a query or a signal is a turnstile: it waits until nothing is in flight, and what comes after it
//! waits behind it. So nobody reads what could still be lost, there is one state only, and under load commands gather into larger batches.

use std::{
    collections::VecDeque,
    marker::PhantomData,
    sync::{Arc, atomic::Ordering},
};

use playhouse_schema::{
    address::{Entity, Sequence, Shard},
    port::{Erasure, LogStore, NewRecord, Snapshot, StoreError},
    record::codec::Record as _,
};
use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::{
    append::{Append, Landing, Lineage, Log},
    domain::{Committed, Decision, Domain, Myself, Port, Resident, Unavailable},
    spans,
    vitals::{IDLE_CAPACITY_MAX, Outcome, Ticket, Vitals, Whisper},
    wake,
    ways::Lease,
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
    /// Under which it lives.
    pub(super) lease: Lease,
    /// The previous life of the same entity: it must have ended, and its appends must have landed or failed, before the log is read.
    pub(super) after: Option<(ractor::ActorCell, Arc<Vitals>)>,
    /// Its snapshot is not to be believed.
    pub(super) anew: bool,
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
    lease: Lease,
    lineage: Lineage,
    /// Appends whose outcome is not known, oldest first: the numbers of the first record and of the last one that the store writes.
    in_flight: VecDeque<(Sequence, Sequence)>,
    /// What has landed and was not yet told to the domain.
    landed: Vec<Committed>,
    /// What came behind a query or signal that waits for the appends in flight, that one first.
    waiting: VecDeque<Mail<D>>,
    records_since_snapshot: u64,
}

/// After so many records have landed without a moment of rest, the next command waits for one: the domain must hear of them.
const LANDED_MAX: usize = 256;

/// So many records more are replaced with one note, when the same is to stand in the place of all.
const OTHERS_MAX: usize = 255;

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
        let woken = wake::wake::<D>(&*birth.store, &birth.entity, birth.anew)
            .await
            .inspect_err(|error| {
                // Who waits hears whether it is worth while to ask again: damage stays, a database that is away comes back.
                let is_damaged = matches!(error, StoreError::Damaged(_));
                birth.vitals.damaged.store(is_damaged, Ordering::Release);
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
            lease: birth.lease,
            lineage: Lineage::default(),
            in_flight: VecDeque::new(),
            landed: Vec::new(),
            waiting: VecDeque::new(),
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
            Mail::Settled => {
                while let Some(outcome) = kept.vitals.outcome() {
                    if !kept.settle(&myself, outcome) {
                        myself.stop(None);
                        break;
                    }
                }
            }
            mail => kept.take_in(&myself, mail),
        }
        kept.report();
        Ok(())
    }

    async fn post_stop(
        &self,
        myself: ActorRef<Mail<D>>,
        kept: &mut Kept<D>,
    ) -> Result<(), ActorProcessingErr> {
        // What came in before the drain was decided during it: who waits for that is answered before the end.
        while !kept.in_flight.is_empty() && !kept.lineage.is_broken() {
            let outcome = kept.vitals.arrival().await;
            if !kept.settle(&myself, outcome) {
                break;
            }
        }
        let has_snapshots = kept.resident.state.snapshot_due(u64::MAX);
        if has_snapshots
            && !kept.lineage.is_broken()
            && kept.records_since_snapshot >= SNAPSHOT_AT_SLEEP_RECORDS
        {
            kept.save_snapshot().await;
        }
        Ok(())
    }
}

/// Going to sleep with at least so many records since the last snapshot writes one.
const SNAPSHOT_AT_SLEEP_RECORDS: u64 = 50;

impl<D: Domain> Kept<D> {
    /// Acts on a message now, or lets it wait its turn.
    fn take_in(&mut self, myself: &ActorRef<Mail<D>>, mail: Mail<D>) {
        if self.waiting.is_empty() && self.may_act_on(&mail) {
            self.act(myself, mail);
        } else {
            self.waiting.push_back(mail);
        }
    }

    fn may_act_on(&self, mail: &Mail<D>) -> bool {
        self.in_flight.is_empty()
            || (matches!(mail, Mail::Command(..)) && self.landed.len() < LANDED_MAX)
    }

    fn act(&mut self, myself: &ActorRef<Mail<D>>, mail: Mail<D>) {
        match mail {
            Mail::Command(command, port, ticket) => self.command(myself, command, port, ticket),
            Mail::Query(query, port, _ticket) => D::answer(&mut self.resident, query, port),
            Mail::Signal(signal, _whisper) => D::signal(&mut self.resident, signal),
            Mail::Settled => {}
        }
    }

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
        let decided = spans::decide(&ticket.span)
            .in_scope(|| self.resident.state.decide(command, &self.resident.context));
        let answer = match decided {
            Err(error) => Err(error),
            Ok(decision)
                if decision.records.is_empty()
                    && decision.erasures.is_empty()
                    && self.in_flight.is_empty() =>
            {
                Ok(decision.reply)
            }
            Ok(decision) => return self.append(myself, decision, port, ticket),
        };
        // The log does not judge what writes nothing: another node may have written what this one has not seen.
        let answer = if self.lease.runs() {
            answer
        } else {
            Err(Unavailable::Stopped.into())
        };
        let _ = port.send(answer);
    }

    fn append(
        &mut self,
        myself: &ActorRef<Mail<D>>,
        decision: Decision<D>,
        port: Port<D::Reply, D::Error>,
        ticket: Arc<Ticket>,
    ) {
        if let Some(prepare) = decision.prepare {
            prepare(Arc::make_mut(&mut self.resident.state));
        }
        let divisible = decision.divisible.min(decision.records.len());
        let (records, erasures) = self.apply(decision.records, decision.erasures);
        let reply = decision.reply;
        let flight = self.vitals.depart();
        let myself = myself.clone();
        self.log.append(Append {
            family: self.shard.family,
            shard: self.shard.number,
            records,
            divisible,
            erasures,
            lineage: self.lineage.clone(),
            span: spans::append(&ticket.span),
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

    /// Applies a decision and notes it as in flight.
    fn apply(
        &mut self,
        records: Vec<D::Record>,
        erasures: Vec<(Sequence, bytes::Bytes)>,
    ) -> (Vec<NewRecord>, Vec<Erasure>) {
        let resident = &mut self.resident;
        let first = resident.sequence + 1;
        let mut encoded = Vec::with_capacity(records.len());
        let mut replaced = Vec::with_capacity(erasures.len());
        if !records.is_empty() || !erasures.is_empty() {
            let state = Arc::make_mut(&mut resident.state);
            for record in &records {
                resident.sequence += 1;
                state.apply(resident.sequence, 0, record);
                encoded.push(NewRecord {
                    entity: resident.entity.clone(),
                    sequence: resident.sequence,
                    kind: record.kind(),
                    key: record.key().map(Into::into),
                    payload: record.encode(),
                });
            }
            for (target, payload) in erasures {
                let same = replaced.last_mut().filter(|last: &&mut Erasure| {
                    last.payload == payload && last.others.len() < OTHERS_MAX
                });
                if let Some(same) = same {
                    same.others.push(target);
                    state.erased(same.note, Some((target, &payload)));
                    continue;
                }
                // The store writes one record of its own for each erasure.
                resident.sequence += 1;
                state.erased(resident.sequence, Some((target, &payload)));
                replaced.push(Erasure {
                    entity: resident.entity.clone(),
                    target,
                    others: Vec::new(),
                    note: resident.sequence,
                    payload,
                });
            }
        }
        self.in_flight.push_back((first, resident.sequence));
        (encoded, replaced)
    }

    /// Takes in the outcome of the oldest append; whether life goes on.
    fn settle(&mut self, myself: &ActorRef<Mail<D>>, outcome: Outcome) -> bool {
        match outcome {
            Ok(landing) => {
                self.land(&landing);
                self.go_on(myself);
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
        let Some((first, last)) = self.in_flight.pop_front() else {
            return;
        };
        self.records_since_snapshot += last + 1 - first;
        let landed = (first..)
            .zip(&landing.landed)
            .map(|(sequence, landed)| Committed {
                sequence,
                position: landed.position,
            });
        self.landed.extend(landed);
        if !self.in_flight.is_empty() {
            return;
        }
        let landed = std::mem::take(&mut self.landed);
        if let Some(last) = landed.last() {
            self.resident.position = last.position;
        }
        D::committed(&mut self.resident, &landed);
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

    /// Acts on what has waited, up to the next query or signal that must wait for the commands before it.
    fn go_on(&mut self, myself: &ActorRef<Mail<D>>) {
        while self
            .waiting
            .front()
            .is_some_and(|next| self.may_act_on(next))
        {
            if let Some(mail) = self.waiting.pop_front() {
                self.act(myself, mail);
            }
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

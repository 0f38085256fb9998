//! What a kind of actor must say about itself.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use playhouse_schema::{
    address::{Entity, Position, Sequence},
    port::{LogStore, Snapshot, StoreError},
    record::codec::Record,
};
use ractor::{ActorRef, RpcReplyPort};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{keeper::Mail, vitals::Ticket};

/// Why an actor could not be asked at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Unavailable {
    /// Too many requests wait already.
    #[error("overloaded")]
    Overloaded,
    /// It did not answer in time. The command may still be carried out.
    #[error("timed out")]
    Timeout,
    /// It ended while the request waited, because of a failed commit for example. The command may or may not have been carried out.
    #[error("stopped")]
    Stopped,
    /// What is recorded of it cannot be read: it does not wake until that is repaired.
    #[error("its log is damaged")]
    Damaged,
}

/// The reply port of a command or query.
pub type Port<T, E> = RpcReplyPort<Result<T, E>>;

/// What a command comes to: the records that make it true, and what the caller is told once they are committed.
pub struct Decision<D: Domain> {
    /// Applied at once, committed together. May be empty.
    pub records: Vec<D::Record>,
    /// So many of the records, the first ones, mean something without those that follow, and may stand in the log alone should the process end meanwhile. A
    /// decision of many records that says so holds nobody up: others are written in between.
    pub divisible: usize,
    /// Payloads of older records to replace, by sequence.
    pub erasures: Vec<(Sequence, bytes::Bytes)>,
    /// Run before the records are applied: brings to hand what they name and the state does not hold, which after waking [`Domain::hydrate`] does.
    pub prepare: Option<Prepare<D>>,
    /// The answer.
    pub reply: D::Reply,
}

/// See [`Decision::prepare`].
pub type Prepare<D> = Box<dyn FnOnce(&mut D) + Send>;

impl<D: Domain> Decision<D> {
    /// Some records and an answer.
    pub fn new(records: Vec<D::Record>, reply: D::Reply) -> Self {
        Self {
            records,
            divisible: 0,
            erasures: Vec::new(),
            prepare: None,
            reply,
        }
    }

    /// Nothing changes.
    pub fn unchanged(reply: D::Reply) -> Self {
        Self::new(Vec::new(), reply)
    }
}

/// A record of this actor that is now durable.
#[derive(Clone, Debug)]
pub struct Committed {
    /// Its number within the entity.
    pub sequence: Sequence,
    /// Its position in the shard.
    pub position: Position,
}

/// A kind of actor. The value itself is its state: a fold of its records.
///
/// Cloning must be cheap (structural sharing): each append in flight keeps the state that it leads to, and queries work on the durable one.
///
/// Whoever asks may be on another node: all that is said and answered goes into a parcel ([`super::parcel`]). What an actor only tells itself has no such form
/// (`serde(skip)`).
pub trait Domain: Clone + Send + Sync + Sized + 'static {
    /// For logs and metrics: `room`, `user`.
    const NAME: &'static str;
    /// The format of snapshots; another number makes older snapshots ignored.
    const SNAPSHOT_VERSION: u32 = 0;

    /// What it writes.
    type Record: Record;
    /// What it can be told to do.
    type Command: Clone + Serialize + DeserializeOwned + Send + 'static;
    /// What a command answers.
    type Reply: Serialize + DeserializeOwned + Send + 'static;
    /// What it can be asked.
    type Query: Clone + Serialize + DeserializeOwned + Send + 'static;
    /// What a query answers.
    type Answer: Serialize + DeserializeOwned + Send + 'static;
    /// What it hears from followers and timers; not answered, may be lost, never leads to records.
    type Signal: Serialize + DeserializeOwned + Send + 'static;
    /// Why a command or query is refused.
    type Error: From<Unavailable> + Serialize + DeserializeOwned + Send + 'static;
    /// Volatile state beside the fold: typing users, waiting long polls.
    type Live: Default + Send + 'static;
    /// What all actors of this kind share: `Env`, limits, ways to ask others.
    type Context: Send + Sync + 'static;

    /// The state before the first record.
    fn empty(entity: &Entity) -> Self;

    /// Takes in one record. Total, and the only way the state changes. The position is 0 while the record is in flight; [`Domain::committed`] tells it later.
    fn apply(&mut self, sequence: Sequence, position: Position, record: &Self::Record);

    /// The payload of an older record was replaced; `note` is the number that the store's own record of it takes. `replaced` tells which record and
    /// what stands there now; it is `None` while the log is folded, where the older record was read in its new form already.
    fn erased(&mut self, _note: Sequence, _replaced: Option<(Sequence, &bytes::Bytes)>) {}

    /// Judges a command on the state, with what is in flight applied. Pure but for the clock and randomness of the context.
    fn decide(
        &self,
        command: Self::Command,
        context: &Self::Context,
    ) -> Result<Decision<Self>, Self::Error>;

    /// Answers a query, at once or from a spawned task; called when all that was decided before the query came is durable.
    fn answer(
        resident: &mut Resident<Self>,
        query: Self::Query,
        port: Port<Self::Answer, Self::Error>,
    );

    /// Whether a signal of another node is worth waking the actor for; asked where the actor lives.
    fn heeds(_context: &Self::Context, _entity: &Entity, _signal: &Self::Signal) -> bool {
        true
    }

    /// Takes in a signal.
    fn signal(_resident: &mut Resident<Self>, _signal: Self::Signal) {}

    /// Called when own records have become durable and none is in flight. The callers may have heard of it already.
    fn committed(_resident: &mut Resident<Self>, _records: &[Committed]) {}

    /// Called once after waking, with the state folded.
    fn woken(_resident: &mut Resident<Self>) {}

    /// Whether it must stay awake although nobody writes to it.
    fn is_busy(_live: &Self::Live) -> bool {
        false
    }

    /// A rough figure of the memory it takes.
    fn weight_bytes(&self) -> usize;

    /// Whether a snapshot is worth its bytes, so many records after the last one. Actors of few records never have one: for them this and the two that
    /// follow stay as they are.
    fn snapshot_due(&self, _records_since: u64) -> bool {
        false
    }

    /// The state as snapshot bytes of format [`Domain::SNAPSHOT_VERSION`].
    fn to_snapshot(&self) -> bytes::Bytes {
        bytes::Bytes::new()
    }

    /// The state of a snapshot, `None` when it does not decode.
    fn from_snapshot(_entity: &Entity, _snapshot: &Snapshot) -> Option<Self> {
        None
    }

    /// Reads what the state needs beyond snapshot and later records, for example the bytes of events that they name. Called between the two, and after them.
    fn hydrate<'a>(
        &'a mut self,
        _store: &'a dyn LogStore,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async { Ok(()) })
    }
}

/// An awake actor as its hooks see it. They run only while nothing is in flight, so what they see is durable.
pub struct Resident<D: Domain> {
    /// Who it is.
    pub entity: Entity,
    /// The state, all of it durable. To be read only; clone the `Arc` for a view that does not move.
    pub state: Arc<D>,
    /// Volatile state.
    pub live: D::Live,
    /// What all actors of this kind share.
    pub context: Arc<D::Context>,
    /// The number of the newest durable record.
    pub sequence: Sequence,
    /// The position of the newest durable record in its shard; 0 when there is none. The store's own notes of erasures do not move it.
    pub position: Position,
    /// The way to itself, for timers and spawned tasks.
    pub myself: Myself<D>,
}

/// An actor's own address.
pub struct Myself<D: Domain>(pub(super) ActorRef<Mail<D>>);

impl<D: Domain> Clone for Myself<D> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<D: Domain> Myself<D> {
    /// Sends a signal to itself. Lost when the actor has ended.
    pub fn signal(&self, signal: D::Signal) {
        let _ = self.0.cast(Mail::Signal(signal, None));
    }

    /// As [`Myself::signal`]; tells whether the actor still takes messages.
    pub fn try_signal(&self, signal: D::Signal) -> bool {
        self.0.cast(Mail::Signal(signal, None)).is_ok()
    }

    /// Tells itself to do something; ready when it is done and durable. Counts as nobody's call.
    pub fn carry_out(
        &self,
        command: D::Command,
    ) -> impl Future<Output = Result<D::Reply, D::Error>> + Send + 'static {
        let (sender, receiver) = ractor::concurrency::oneshot();
        let port = RpcReplyPort::from(sender);
        let mail = Mail::Command(command, port, Ticket::of_nobody());
        let sent = self.0.cast(mail).is_ok();
        async move {
            match receiver.await {
                Ok(answer) if sent => answer,
                _ => Err(Unavailable::Stopped.into()),
            }
        }
    }

    /// Asks itself. Counts as nobody's call.
    pub fn ask(
        &self,
        query: D::Query,
    ) -> impl Future<Output = Result<D::Answer, D::Error>> + Send + 'static {
        let (sender, receiver) = ractor::concurrency::oneshot();
        let port = RpcReplyPort::from(sender);
        let mail = Mail::Query(query, port, Ticket::of_nobody());
        let sent = self.0.cast(mail).is_ok();
        async move {
            match receiver.await {
                Ok(answer) if sent => answer,
                _ => Err(Unavailable::Stopped.into()),
            }
        }
    }

    /// Tells itself to do something, and does not hear what came of it. Counts as nobody's call.
    pub fn command(&self, command: D::Command) {
        let (sender, _) = ractor::concurrency::oneshot();
        let port = RpcReplyPort::from(sender);
        let _ = self
            .0
            .cast(Mail::Command(command, port, Ticket::of_nobody()));
    }
}

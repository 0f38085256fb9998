//! One connection with another node: what is asked and told over it, and how much of that may be under way.
//!
//! Behind a connection ractor queues whatever it is given, so what is given is counted here. Whatever was told or answered before a ping is with the other node
//! once the ping has come back, because everything goes in order.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use playhouse_actors::{cluster::Patience, kernel::LinkError};
use ractor::{ActorCell, ActorId, ActorRef, rpc::CallResult};
use ractor_cluster::NodeSessionMessage;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use uuid::Uuid;

use super::{
    frames::{Answer, Kind, Relay, pair, read_pair},
    gate::GateMessage,
    hello::Party,
    shelf::{PART_BYTES_MAX, Shelf, WHOLE_BYTES_MAX},
};

/// So many calls are under way to a node at most.
const CALLS_MAX: usize = 4_096;

/// So much of calls is, in pieces of a kilobyte.
const CALL_PIECES_MAX: usize = 64 << 10;

/// So many calls that wait for something to happen are under way besides, in as many pieces: long polls keep nobody out who only wants an answer.
const WAITS_MAX: usize = 32_768;

const PIECE_BYTES: usize = 1 << 10;

/// So much is told to a node, or answered, before it has shown that it hears.
const UNHEARD_BYTES_MAX: u64 = 64 << 20;

/// What is told is no larger.
const TOLD_BYTES_MAX: usize = 4 << 20;

/// A ping comes back within this time, or the other node is taken for silent, where leases are no longer than usual.
pub(super) const SILENCE: Duration = Duration::from_millis(1_500);

/// Between two pings.
const BEAT: Duration = Duration::from_millis(250);

/// Nobody waits longer for an answer.
const ASK_MAX: Duration = Duration::from_secs(600);

/// Where large frames lie, and who may fetch them.
pub(super) type Stores<'a> = (&'a Shelf, &'a Semaphore);

/// See the module's documentation.
pub(super) struct Connection {
    /// Who is at the other end.
    pub(super) peer: Party,
    /// How both ends call the connection.
    pub(super) id: Uuid,
    session: OnceLock<ActorRef<NodeSessionMessage>>,
    gate: OnceLock<ActorRef<GateMessage>>,
    calls: Lane,
    waits: Lane,
    told: Flow,
    answered: Flow,
    ended: watch::Sender<bool>,
}

/// Bytes that went one way, and those that are known to have arrived.
#[derive(Default)]
struct Flow {
    sent: AtomicU64,
    heard: AtomicU64,
    /// What had been sent when the other node pinged last.
    mark: AtomicU64,
    news: Notify,
}

impl Flow {
    /// Counts what is about to go, if there is room for it.
    fn try_pass(&self, bytes: usize) -> bool {
        let (bytes, heard) = (bytes as u64, self.heard.load(Ordering::Acquire));
        let fits = |sent: u64| {
            let unheard = sent.saturating_sub(heard) + bytes;
            (unheard <= UNHEARD_BYTES_MAX).then_some(sent + bytes)
        };
        self.sent
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, fits)
            .is_ok()
    }

    /// Waits until there is room.
    async fn pass(&self, bytes: usize) {
        loop {
            let news = self.news.notified();
            if self.try_pass(bytes) {
                return;
            }
            news.await;
        }
    }

    fn sent(&self) -> u64 {
        self.sent.load(Ordering::Acquire)
    }

    /// Everything up to here has arrived.
    fn hear(&self, sent: u64) {
        self.heard.fetch_max(sent, Ordering::AcqRel);
        self.news.notify_waiters();
    }

    /// The other node pings: what was sent before its last ping was answered has arrived.
    fn turn(&self) {
        let before = self.mark.swap(self.sent(), Ordering::AcqRel);
        self.hear(before);
    }
}

/// How much of one sort may be under way.
struct Lane {
    calls: Arc<Semaphore>,
    pieces: Arc<Semaphore>,
}

impl Lane {
    fn new(calls_max: usize) -> Self {
        Self {
            calls: Arc::new(Semaphore::new(calls_max)),
            pieces: Arc::new(Semaphore::new(CALL_PIECES_MAX)),
        }
    }

    fn admit(&self, bytes: usize) -> Option<Passage> {
        let pieces = (bytes / PIECE_BYTES + 1).min(CALL_PIECES_MAX);
        let call = self.calls.clone().try_acquire_owned().ok()?;
        let pieces = u32::try_from(pieces).ok()?;
        let pieces = self.pieces.clone().try_acquire_many_owned(pieces).ok()?;
        Some(Passage(Some((call, pieces))))
    }
}

/// A call's share of what may be under way. One that is given up is under way still, until it must have arrived or the connection has ended.
struct Passage(Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)>);

impl Drop for Passage {
    fn drop(&mut self) {
        let Some(share) = self.0.take() else { return };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                tokio::time::sleep(SILENCE).await;
                drop(share);
            });
        }
    }
}

impl Connection {
    /// A connection over which nothing goes yet.
    pub(super) fn new(peer: Party, id: Uuid) -> Self {
        Self {
            peer,
            id,
            session: OnceLock::new(),
            gate: OnceLock::new(),
            calls: Lane::new(CALLS_MAX),
            waits: Lane::new(WAITS_MAX),
            told: Flow::default(),
            answered: Flow::default(),
            ended: watch::Sender::new(false),
        }
    }

    /// ractor carries it now.
    pub(super) fn carried_by(&self, session: ActorRef<NodeSessionMessage>) {
        let is_other = self.session.set(session.clone()).is_err();
        // Looked at only now: who ends it meanwhile finds the session, or is found here.
        if is_other || *self.ended.borrow() {
            session.stop(None);
        }
    }

    /// The session is complete; whether the other node's gate is in it.
    pub(super) fn ready(&self, session: &ActorRef<NodeSessionMessage>) -> bool {
        let is_gate = |actor: &ActorCell| match actor.get_id() {
            ActorId::Remote { pid, .. } => pid == self.peer.gate,
            ActorId::Local(_) => false,
        };
        let gate = session.get_children().into_iter().find(is_gate);
        gate.is_some_and(|gate| self.gate.set(gate.into()).is_ok())
    }

    /// Whether something can go over it.
    pub(super) fn is_ready(&self) -> bool {
        self.gate.get().is_some() && !*self.ended.borrow()
    }

    /// Ends it; whether it had not ended before.
    pub(super) fn end(&self) -> bool {
        let was_on = !self.ended.send_replace(true);
        if let Some(session) = self.session.get() {
            session.stop(None);
        }
        was_on
    }

    /// Waits for its end.
    pub(super) async fn ended(&self) {
        let mut ended = self.ended.subscribe();
        let _ = ended.wait_for(|ended| *ended).await;
    }

    /// Tells something. Lost when the other node does not hear fast enough.
    pub(super) fn tell(&self, content: &[u8]) {
        let Some(gate) = self.gate.get() else { return };
        if content.len() > TOLD_BYTES_MAX {
            tracing::error!(node = %self.peer.name, bytes = content.len(), "too large to be told to another node");
            return;
        }
        if !self.told.try_pass(content.len()) {
            metrics::counter!("playhouse_cluster_untold_total").increment(1);
            return;
        }
        let _ = gate.cast(GateMessage::Tell(Kind::Tell.frame(self.id, content)));
    }

    /// Asks, and waits for the answer no longer than told.
    pub(super) async fn ask(
        &self,
        stores: Stores<'_>,
        call: Bytes,
        patience: Patience,
    ) -> Result<Bytes, LinkError> {
        let deadline = Instant::now() + patience.within.min(ASK_MAX);
        if !self.is_ready() {
            return Err(LinkError::Unreached);
        }
        let bytes = call.len();
        if bytes > WHOLE_BYTES_MAX {
            return Err(LinkError::Malformed(format!("a call of {bytes} bytes")));
        }
        // Nothing has left yet: who asks may ask again.
        let (lane, kind) = if patience.waits {
            (&self.waits, Kind::Wait)
        } else {
            (&self.calls, Kind::Ask)
        };
        let passage = lane.admit(bytes).ok_or(LinkError::Unreached)?;
        if bytes <= PART_BYTES_MAX {
            let frame = kind.frame(self.id, &call);
            return self.finish(stores, (frame, passage), deadline).await;
        }
        let laid = Laid::on(stores.0, self.id, call).ok_or(LinkError::Unreached)?;
        let frame = Kind::Fetch.frame(self.id, &pair(laid.ticket, bytes as u64));
        self.finish(stores, (frame, passage), deadline).await
    }

    /// Asks a third node through the one at the other end.
    pub(super) async fn relay(
        &self,
        stores: Stores<'_>,
        relay: &Relay,
        waits: bool,
    ) -> Result<Bytes, LinkError> {
        let within = Duration::from_millis(relay.within_ms).min(ASK_MAX);
        let bytes = relay.call.len();
        if !self.is_ready() || bytes > PART_BYTES_MAX {
            return Err(LinkError::Unreached);
        }
        let (lane, kind) = if waits {
            (&self.waits, Kind::RelayWait)
        } else {
            (&self.calls, Kind::Relay)
        };
        let passage = lane.admit(bytes).ok_or(LinkError::Unreached)?;
        let frame = kind.frame(self.id, &relay.write());
        let deadline = Instant::now() + within;
        self.finish(stores, (frame, passage), deadline).await
    }

    async fn finish(
        &self,
        (_, fetches): Stores<'_>,
        (frame, mut passage): (Vec<u8>, Passage),
        deadline: Instant,
    ) -> Result<Bytes, LinkError> {
        let answer = self.exchange(frame, deadline).await?;
        passage.0.take();
        match answer {
            (Answer::Here, content) => Ok(content),
            (Answer::Fetch, body) => {
                let (ticket, bytes) = read_pair(&body)
                    .ok_or_else(|| LinkError::Malformed("an answer to be fetched".to_owned()))?;
                // What has been asked for has been done: it is in doubt as long as the answer is not here.
                let turn = tokio::time::timeout_at(deadline.into(), fetches.acquire()).await;
                let _turn = turn.map_err(|_| LinkError::TimedOut)?;
                self.fetch(ticket, bytes, deadline).await
            }
            (Answer::Refused, _) => Err(LinkError::Unreached),
            (Answer::Mute, _) => Err(LinkError::Malformed("no answer can be sent".to_owned())),
            (Answer::Broken, _) => Err(LinkError::Broken),
            (Answer::Late, _) => Err(LinkError::TimedOut),
        }
    }

    /// Sends a frame and waits for what is answered.
    async fn exchange(
        &self,
        frame: Vec<u8>,
        deadline: Instant,
    ) -> Result<(Answer, Bytes), LinkError> {
        let gate = self.gate.get().ok_or(LinkError::Unreached)?;
        let left = deadline.saturating_duration_since(Instant::now());
        let answer = gate.call(|port| GateMessage::Ask(frame, port), Some(left));
        match answer.await {
            Ok(CallResult::Success(answer)) => Answer::open(answer)
                .ok_or_else(|| LinkError::Malformed("an answer of no known kind".to_owned())),
            Ok(CallResult::Timeout) => Err(LinkError::TimedOut),
            Ok(CallResult::SenderError) => Err(LinkError::Broken),
            Err(_) => Err(LinkError::Unreached),
        }
    }

    /// Fetches what is too large for one frame. What it is about has been done: that it cannot be fetched leaves it in doubt.
    pub(super) async fn fetch(
        &self,
        ticket: u64,
        bytes: u64,
        deadline: Instant,
    ) -> Result<Bytes, LinkError> {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        if bytes > WHOLE_BYTES_MAX {
            return Err(LinkError::Malformed(format!("an answer of {bytes} bytes")));
        }
        let mut whole = Vec::new();
        while whole.len() < bytes {
            let frame = Kind::Part.frame(self.id, &pair(ticket, whole.len() as u64));
            match self.exchange(frame, deadline).await {
                Ok((Answer::Here, part))
                    if !part.is_empty() && whole.len() + part.len() <= bytes =>
                {
                    whole.extend_from_slice(&part);
                }
                Err(LinkError::TimedOut) => return Err(LinkError::TimedOut),
                _ => return Err(LinkError::Broken),
            }
        }
        Ok(whole.into())
    }

    /// Waits until an answer may go out.
    pub(super) async fn let_answer(&self, bytes: usize) {
        tokio::select! {
            () = self.answered.pass(bytes) => {}
            () = self.ended() => {}
        }
    }

    /// The other node pings.
    pub(super) fn pinged(&self) {
        self.answered.turn();
    }

    /// Pings until the other node is silent for so long, or the connection has ended.
    pub(super) async fn beat(&self, silence: Duration) {
        loop {
            let sent = self.told.sent();
            let ping = Kind::Ping.frame(self.id, &[]);
            let answer = self.exchange(ping, Instant::now() + silence).await;
            match answer {
                Ok((Answer::Here, _)) => self.told.hear(sent),
                Ok(_) => return,
                Err(LinkError::TimedOut) => {
                    tracing::warn!(node = %self.peer.name, "another node is silent");
                    return;
                }
                Err(_) => return,
            }
            tokio::select! {
                () = tokio::time::sleep(BEAT) => {}
                () = self.ended() => return,
            }
        }
    }
}

/// Something on the shelf, as long as it is waited for.
struct Laid<'a> {
    shelf: &'a Shelf,
    ticket: u64,
}

impl<'a> Laid<'a> {
    fn on(shelf: &'a Shelf, connection: Uuid, content: Bytes) -> Option<Self> {
        let ticket = shelf.put(connection, content)?;
        Some(Self { shelf, ticket })
    }
}

impl Drop for Laid<'_> {
    fn drop(&mut self) {
        self.shelf.remove(self.ticket);
    }
}

#[cfg(test)]
mod tests {
    use playhouse_schema::register::NodeName;

    use super::*;

    fn connection() -> Connection {
        let peer = Party {
            name: NodeName::parse("n2").unwrap(),
            life: Uuid::from_u128(1),
            gate: 3,
        };
        Connection::new(peer, Uuid::from_u128(2))
    }

    #[tokio::test]
    async fn nothing_goes_over_a_connection_that_is_not_ready() {
        let (connection, shelf, fetches) = (connection(), Shelf::default(), Semaphore::new(1));
        let call = Bytes::from_static(b"x");
        let patience = Patience {
            within: Duration::from_secs(1),
            waits: false,
        };
        let asked = connection.ask((&shelf, &fetches), call, patience);
        let asked = asked.await;
        assert_eq!(asked, Err(LinkError::Unreached));
    }

    #[tokio::test]
    async fn calls_are_counted_and_weighed() {
        let connection = connection();
        let calls = &connection.calls;
        let large = 32 << 20;
        let one = calls.admit(large).unwrap();
        assert!(calls.admit(large).is_none());
        let mut small: Vec<_> = (1..CALLS_MAX).map(|_| calls.admit(10).unwrap()).collect();
        assert!(calls.admit(10).is_none());
        // Who waits for something has places apart.
        assert!(connection.waits.admit(10).is_some());
        // Answered.
        small.pop().unwrap().0.take();
        assert!(
            calls
                .admit(10)
                .is_some_and(|mut one| one.0.take().is_some())
        );
        // Given up: it counts until it must have gone.
        drop(one);
        assert!(calls.admit(large).is_none());
    }

    #[tokio::test]
    async fn what_is_not_heard_holds_up_the_rest() {
        let flow = Flow::default();
        let half = UNHEARD_BYTES_MAX as usize / 2;
        assert!(flow.try_pass(half) && flow.try_pass(half));
        assert!(!flow.try_pass(1));
        // A first ping tells nothing of what has arrived, a second that the answer to the first has.
        flow.turn();
        assert!(!flow.try_pass(1));
        flow.turn();
        assert!(flow.try_pass(1));
        flow.hear(flow.sent());
        let waiting = async {
            flow.pass(half).await;
            flow.pass(half).await;
            flow.pass(1).await;
        };
        let hearing = async {
            tokio::task::yield_now().await;
            flow.hear(half as u64);
            flow.hear(flow.sent());
        };
        let both = async { tokio::join!(waiting, hearing) };
        tokio::time::timeout(Duration::from_secs(60), both)
            .await
            .unwrap();
    }
}

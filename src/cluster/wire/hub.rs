//! What a node knows of its connections, and what it does with what comes in over them.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::FutureExt as _;
use parking_lot::Mutex;
use playhouse_actors::{
    cluster::{Gate, Patience},
    kernel::LinkError,
};
use playhouse_schema::register::{Incarnation, NodeEntry, NodeName};
use ractor::RpcReplyPort;
use tokio::sync::{Notify, Semaphore, mpsc};
use uuid::Uuid;

use super::{
    WireSettings,
    certificates::Credentials,
    connection::{Connection, Stores},
    frames::{self, Answer, Kind, Relay, pair, read_pair},
    hello::{Hello, Party},
    lines::{self, Carrier},
    shelf::{PART_BYTES_MAX, Shelf, WHOLE_BYTES_MAX},
};

/// So many calls of other nodes are being answered at a time.
const SERVED_MAX: usize = 16_384;

/// So many of those that wait for something to happen, besides.
const WAITING_MAX: usize = 131_072;

/// So many calls and answers that are too large for one frame are being fetched at a time.
const FETCHES_MAX: usize = 8;

/// A node that was not reached for so long is asked through others. Before, they may not know yet that it is dead, and what is asked would be in doubt.
const RELAY_AFTER: Duration = Duration::from_millis(500);

/// So many others are tried.
const RELAYS_MAX: usize = 2;

/// A call that is too large for one frame is fetched within this time, or not carried out.
const FETCHED_WITHIN: Duration = Duration::from_secs(10);

/// See the module's documentation.
pub(super) struct Hub {
    pub(super) settings: WireSettings,
    pub(super) credentials: Credentials,
    pub(super) shelf: Shelf,
    pub(super) fetches: Arc<Semaphore>,
    /// This node's gate, and who carries connections to it.
    pub(super) carrier: OnceLock<(Party, Carrier)>,
    served: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    gate: OnceLock<Arc<Gate>>,
    known: Mutex<Known>,
    dead: mpsc::Sender<Incarnation>,
    is_closed: AtomicBool,
}

#[derive(Default)]
struct Known {
    /// All connections.
    connections: BTreeMap<Uuid, Arc<Connection>>,
    /// The one with each node.
    peers: BTreeMap<NodeName, Arc<Connection>>,
    /// The nodes with which there shall be one.
    wanted: BTreeMap<NodeName, Wanted>,
    /// Since when there is none with nodes with which there shall be one.
    lost: BTreeMap<NodeName, Instant>,
    /// For whom a task sees to it; ringing makes it try at once.
    bells: BTreeMap<NodeName, Arc<Notify>>,
}

/// A node with which there shall be a connection.
#[derive(Clone)]
pub(super) struct Wanted {
    /// Where it is.
    pub(super) address: String,
    /// Its life by the register, if it is known yet.
    pub(super) incarnation: Option<Incarnation>,
}

impl Hub {
    /// A hub without connections. Who is found dead is told to `dead`.
    pub(super) fn new(
        settings: WireSettings,
        credentials: Credentials,
        dead: mpsc::Sender<Incarnation>,
    ) -> Self {
        Self {
            settings,
            credentials,
            shelf: Shelf::default(),
            fetches: Arc::new(Semaphore::new(FETCHES_MAX)),
            carrier: OnceLock::new(),
            served: Arc::new(Semaphore::new(SERVED_MAX)),
            waiting: Arc::new(Semaphore::new(WAITING_MAX)),
            gate: OnceLock::new(),
            known: Mutex::default(),
            dead,
            is_closed: AtomicBool::new(false),
        }
    }

    /// Hands what comes in to a gate from now on.
    pub(super) fn open(&self, gate: Arc<Gate>) {
        let _ = self.gate.set(gate);
    }

    /// Ends everything.
    pub(super) fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        let (connections, bells) = {
            let mut known = self.known.lock();
            known.wanted.clear();
            let connections: Vec<_> = known.connections.values().cloned().collect();
            let bells: Vec<_> = known.bells.values().cloned().collect();
            (connections, bells)
        };
        connections
            .iter()
            .for_each(|connection| self.end(connection));
        bells.iter().for_each(|bell| bell.notify_one());
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    /// The connection with a node.
    pub(super) fn peer(&self, name: &NodeName) -> Option<Arc<Connection>> {
        self.known.lock().peers.get(name).cloned()
    }

    /// All nodes with which there is one.
    pub(super) fn peers(&self) -> Vec<Arc<Connection>> {
        self.known.lock().peers.values().cloned().collect()
    }

    pub(super) fn connection(&self, id: Uuid) -> Option<Arc<Connection>> {
        self.known.lock().connections.get(&id).cloned()
    }

    /// Begins a connection in the place of an older one with the same node. Refused when what is there is that of a later process.
    pub(super) fn begin(
        self: &Arc<Self>,
        peer: Party,
        id: Uuid,
    ) -> Result<Arc<Connection>, &'static str> {
        if self.is_closed() {
            return Err("this node ends");
        }
        let (name, life) = (peer.name.clone(), peer.life);
        let connection = Arc::new(Connection::new(peer, id));
        let before = {
            let mut known = self.known.lock();
            if known.connections.contains_key(&id) {
                return Err("there is a connection of that name");
            }
            let before = known.peers.get(&name);
            if before.is_some_and(|before| before.peer.life > life) {
                return Err("a later process of that node is connected");
            }
            known.lost.remove(&name);
            known.connections.insert(id, connection.clone());
            known.peers.insert(name, connection.clone())
        };
        if let Some(before) = before {
            self.end(&before);
        }
        let (hub, begun) = (self.clone(), connection.clone());
        tokio::spawn(async move {
            tokio::time::sleep(lines::GREETED_WITHIN).await;
            if !begun.is_ready() {
                hub.end(&begun);
            }
        });
        Ok(connection)
    }

    /// Ends a connection. Whether the node is dead is found out if it was the one with it.
    pub(super) fn end(&self, connection: &Arc<Connection>) {
        let was_ready = connection.is_ready();
        if !connection.end() {
            return;
        }
        let suspect = {
            let mut known = self.known.lock();
            known.connections.remove(&connection.id);
            let peer = known.peers.get(&connection.peer.name);
            if peer.is_some_and(|peer| peer.id == connection.id) {
                known.peers.remove(&connection.peer.name);
                let name = connection.peer.name.clone();
                known.lost.insert(name, Instant::now());
                known.wanted.get(&connection.peer.name).cloned()
            } else {
                None
            }
        };
        if was_ready {
            tracing::info!(node = %connection.peer.name, "connection with another node ended");
            self.count();
        }
        if let Some(suspect) = suspect
            && let Some(incarnation) = suspect.incarnation
            && was_ready
            && self.settings.fast_burial
            && !self.is_closed()
        {
            let (dead, peer) = (self.dead.clone(), connection.peer.name.clone());
            tokio::spawn(async move {
                if lines::is_dead(&suspect.address).await {
                    tracing::info!(node = %peer, "another node is dead: its port is closed");
                    let _ = dead.try_send(incarnation);
                }
            });
        }
    }

    /// Tells the metrics how many nodes are connected.
    pub(super) fn count(&self) {
        let ready = self.peers().iter().filter(|peer| peer.is_ready()).count();
        metrics::gauge!("playhouse_cluster_connections").set(ready as f64);
    }

    /// The nodes that live: there shall be a connection with each.
    pub(super) fn living(self: &Arc<Self>, nodes: &[NodeEntry]) {
        let others = nodes
            .iter()
            .filter(|node| node.is_alive() && node.name != self.settings.name);
        let wanted = others.map(|node| {
            let wanted = Wanted {
                address: node.address.clone(),
                incarnation: Some(node.incarnation),
            };
            (node.name.clone(), wanted)
        });
        let mut known = self.known.lock();
        if self.is_closed() {
            return;
        }
        known.wanted = wanted.collect();
        let Known {
            wanted,
            lost,
            peers,
            ..
        } = &mut *known;
        lost.retain(|name, _| wanted.contains_key(name));
        for name in wanted.keys().filter(|name| !peers.contains_key(*name)) {
            lost.entry(name.clone()).or_insert_with(Instant::now);
        }
        let idle: Vec<_> = known
            .wanted
            .keys()
            .filter(|name| !known.bells.contains_key(*name))
            .cloned()
            .collect();
        for name in idle {
            self.see_to(&mut known, name);
        }
    }

    /// A node says that it wants to be dialled.
    pub(super) fn knocked(self: &Arc<Self>, hello: &Hello) {
        // With a later process the earlier one has ended, whatever its socket says.
        let peer = self.peer(&hello.who.name);
        if let Some(peer) = peer.filter(|peer| peer.peer.life < hello.who.life) {
            self.end(&peer);
        }
        let mut known = self.known.lock();
        if self.is_closed() {
            return;
        }
        // The register says the rest with the next beat.
        let wanted = Wanted {
            address: hello.address.clone(),
            incarnation: None,
        };
        let name = hello.who.name.clone();
        known.wanted.entry(name.clone()).or_insert(wanted);
        match known.bells.get(&name) {
            Some(bell) => bell.notify_one(),
            None => self.see_to(&mut known, name),
        }
    }

    fn see_to(self: &Arc<Self>, known: &mut Known, name: NodeName) {
        let bell = Arc::new(Notify::new());
        known.bells.insert(name.clone(), bell.clone());
        tokio::spawn(lines::keep(Arc::downgrade(self), name, bell));
    }

    /// Where a node is with which there shall be a connection. `None`: nobody sees to it any more.
    pub(super) fn wanted(&self, name: &NodeName) -> Option<Wanted> {
        let mut known = self.known.lock();
        let wanted = known.wanted.get(name).cloned();
        if wanted.is_none() {
            known.bells.remove(name);
        }
        wanted
    }

    /// Another node asks. It is always answered.
    pub(super) fn asked(self: &Arc<Self>, frame: Vec<u8>, port: RpcReplyPort<Vec<u8>>) {
        let refused = Answer::Refused.frame(&[]);
        let opened = frames::open(frame);
        let opened = opened.and_then(|(kind, id, body)| Some((kind, self.connection(id)?, body)));
        let Some((kind, connection, body)) = opened else {
            let _ = port.send(refused);
            return;
        };
        if kind == Kind::Ping {
            connection.pinged();
            let _ = port.send(Answer::Here.frame(&[]));
            return;
        }
        let places = if kind.waits() {
            &self.waiting
        } else {
            &self.served
        };
        let Ok(permit) = places.clone().try_acquire_owned() else {
            let _ = port.send(refused);
            return;
        };
        let hub = self.clone();
        tokio::spawn(async move {
            let answer = hub.answer(kind, &connection, body).await;
            connection.let_answer(answer.len()).await;
            let _ = port.send(answer);
            drop(permit);
        });
    }

    async fn answer(&self, kind: Kind, connection: &Arc<Connection>, body: Bytes) -> Vec<u8> {
        let call = match kind {
            Kind::Ask | Kind::Wait => body,
            Kind::Fetch => match self.fetched(connection, &body).await {
                Some(call) => call,
                None => return Answer::Refused.frame(&[]),
            },
            Kind::Part => {
                let part = read_pair(&body);
                let part = part.and_then(|(ticket, at)| self.shelf.part(connection.id, ticket, at));
                return part
                    .map_or_else(|| Answer::Mute.frame(&[]), |part| Answer::Here.frame(&part));
            }
            Kind::Relay | Kind::RelayWait => {
                let relayed = self.pass_on(&body, kind.waits()).await;
                return relayed.map_or_else(
                    |refusal| refusal.frame(&[]),
                    |answer| self.framed(connection, Some(answer)),
                );
            }
            Kind::Ping | Kind::Tell => return Answer::Mute.frame(&[]),
        };
        let Some(gate) = self.gate.get() else {
            return Answer::Refused.frame(&[]);
        };
        // One that panics must not be waited for.
        let answer = AssertUnwindSafe(gate.asked(&connection.peer.name, &call)).catch_unwind();
        self.framed(connection, answer.await.ok().flatten())
    }

    /// An answer as it goes out.
    fn framed(&self, connection: &Connection, answer: Option<Bytes>) -> Vec<u8> {
        let Some(answer) = answer else {
            return Answer::Mute.frame(&[]);
        };
        if answer.len() <= PART_BYTES_MAX {
            return Answer::Here.frame(&answer);
        }
        let bytes = answer.len() as u64;
        match self.shelf.put(connection.id, answer) {
            Some(ticket) => Answer::Fetch.frame(&pair(ticket, bytes)),
            None => {
                tracing::error!(node = %connection.peer.name, bytes, "an answer to another node is too large");
                Answer::Mute.frame(&[])
            }
        }
    }

    /// Asks another node in the place of one that does not reach it.
    async fn pass_on(&self, body: &Bytes, waits: bool) -> Result<Bytes, Answer> {
        let relay = Relay::read(body).ok_or(Answer::Mute)?;
        let peer = self.peer(&relay.node).ok_or(Answer::Refused)?;
        let patience = Patience {
            within: Duration::from_millis(relay.within_ms),
            waits,
        };
        let answer = peer.ask(self.stores(), relay.call, patience).await;
        answer.map_err(|error| match error {
            LinkError::Unreached => Answer::Refused,
            LinkError::Broken => Answer::Broken,
            LinkError::TimedOut => Answer::Late,
            LinkError::Malformed(_) => Answer::Mute,
        })
    }

    /// Asks a node to which there has been no connection for a while, through one that may have one.
    pub(super) async fn ask_around(&self, relay: Relay, waits: bool) -> Result<Bytes, LinkError> {
        for peer in self.others_than(&relay.node) {
            match peer.relay(self.stores(), &relay, waits).await {
                Err(LinkError::Unreached) => {}
                answer => return answer,
            }
        }
        Err(LinkError::Unreached)
    }

    /// Who may reach a node that lives and is not reached from here.
    fn others_than(&self, name: &NodeName) -> Vec<Arc<Connection>> {
        let known = self.known.lock();
        let lost = known.lost.get(name);
        if !known.wanted.contains_key(name)
            || lost.is_none_or(|since| since.elapsed() < RELAY_AFTER)
        {
            return Vec::new();
        }
        let ready = known.peers.values().filter(|peer| peer.is_ready());
        ready.take(RELAYS_MAX).cloned().collect()
    }

    pub(super) fn stores(&self) -> Stores<'_> {
        (&self.shelf, self.fetches.as_ref())
    }

    /// Fetches a call that is too large for one frame.
    async fn fetched(&self, connection: &Connection, body: &[u8]) -> Option<Bytes> {
        let (ticket, bytes) = read_pair(body)?;
        if bytes > WHOLE_BYTES_MAX as u64 {
            return None;
        }
        let _permit = self.fetches.clone().try_acquire_owned().ok()?;
        let deadline = Instant::now() + FETCHED_WITHIN;
        connection.fetch(ticket, bytes, deadline).await.ok()
    }

    /// Another node tells something.
    pub(super) fn told(&self, frame: Vec<u8>) {
        if let Some((Kind::Tell, id, body)) = frames::open(frame)
            && let Some(connection) = self.connection(id)
            && let Some(gate) = self.gate.get()
        {
            let node = &connection.peer.name;
            // With the actor that hears it everything would end that comes in, for good.
            let told = AssertUnwindSafe(|| gate.told(node, &body));
            if catch_unwind(told).is_err() {
                tracing::error!(%node, "what another node told was not understood");
            }
        }
    }
}

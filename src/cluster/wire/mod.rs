//! The wire between the nodes of a cluster, over `ractor_cluster`.
//!
//! Each node shows one actor to the others, its gate, to which everything is said in frames of bytes; rooms and users stay local. ractor carries the frames and
//! says when a session ends. All else it leaves to us, and it is here:
//!
//! * sockets: dialled, taken, encrypted and greeted by ourselves, each with a limit of its own, before ractor gets them (`lines`, `hello`, `certificates`).
//!   ractor insists on a listener too; that one is on the loopback interface, and nobody is told of it;
//! * bounds: ractor queues what it is given, so calls, bytes and what is told are counted before (`connection`). What waits for something to happen, a long poll
//!   for example, is counted apart: however many of them wait, others get their answers;
//! * answers: every call is answered, be it by a refusal, since ractor lets those wait who are not answered (`hub`);
//! * silence: a node that does not answer a ping is not reached until it does (`connection`);
//! * cut lines: a node that lives and is not reached is asked through another (`hub`);
//! * large frames: they go in parts, so that none holds up the others for long (`shelf`).
//!
//! ractor's registries of actors and groups belong to the process, and every actor that can be reached from afar is mirrored on every node: the gates are the
//! only ones, and nothing is looked up by a name.
//!
//! Knows nothing of what frames mean, nor of who holds what: a wire that says nothing loses nothing.

mod certificates;
mod connection;
mod frames;
mod gate;
mod hello;
mod hub;
mod lines;
mod shelf;
#[cfg(test)]
mod tests;

use std::{
    net::SocketAddr,
    sync::{Arc, Weak},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use playhouse_actors::{
    cluster::{Gate, Patience, Wire},
    kernel::LinkError,
};
use playhouse_schema::register::{Incarnation, NodeEntry, NodeName};
use ractor::{Actor, ActorCell};
use ractor_cluster::{
    IncomingEncryptionMode, NodeServer, NodeServerMessage, node::NodeConnectionMode,
};
use tokio::{net::TcpListener, sync::mpsc, task::JoinHandle};
use tokio_rustls::TlsAcceptor;
use uuid::Uuid;

use self::{
    certificates::Credentials,
    frames::Relay,
    gate::GateActor,
    hello::Party,
    hub::Hub,
    lines::{Carrier, Sessions},
};
use super::secret::ClusterSecret;

/// ractor takes no larger frames. Ours are at most half as large.
const RACTOR_FRAME_BYTES_MAX: u64 = 8 << 20;

/// So many nodes may be found dead before anybody has heard of the first.
const DEAD_MAX: usize = 64;

/// What a wire is told.
#[derive(Clone, Debug)]
pub(crate) struct WireSettings {
    /// This node.
    pub(crate) name: NodeName,
    /// Where to listen.
    pub(crate) listen: String,
    /// Where others reach this node; empty: where it listens.
    pub(crate) advertise: String,
    /// Whether a closed port proves that a node is dead.
    pub(crate) fast_burial: bool,
    /// Who does not answer for so long is taken for silent, and what is under way to it for lost.
    pub(crate) silence: Duration,
}

/// How long a node may be silent: half of the time for which it has its shards without saying that it lives.
pub(crate) fn silence(lease: Duration) -> Duration {
    (lease / 2).max(connection::SILENCE)
}

/// See the module's documentation.
pub(crate) struct ClusterWire {
    hub: Arc<Hub>,
    address: SocketAddr,
    gate: ActorCell,
    carrier: Carrier,
    listening: JoinHandle<()>,
}

/// A wire, and the lives that it finds dead.
pub(crate) type Opened = (Arc<ClusterWire>, mpsc::Receiver<Incarnation>);

impl ClusterWire {
    /// Listens. Calls are answered once a gate is there ([`Wire::open`]).
    pub(crate) async fn open(
        mut settings: WireSettings,
        secret: &ClusterSecret,
    ) -> Result<Opened, String> {
        let cannot = |error: &dyn std::fmt::Display| {
            format!(
                "cannot listen for other nodes on {}: {error}",
                settings.listen
            )
        };
        let listener = TcpListener::bind(&settings.listen).await;
        let listener = listener.map_err(|error| cannot(&error))?;
        let address = listener.local_addr().map_err(|error| cannot(&error))?;
        if settings.advertise.is_empty() {
            settings.advertise = address.to_string();
        }
        let credentials = Credentials::issue(secret, &settings.name)?;
        let acceptor = TlsAcceptor::from(credentials.server.clone());
        let (dead, found) = mpsc::channel(DEAD_MAX);
        let hub = Arc::new(Hub::new(settings, credentials, dead));
        let (gate, carrier) = start(&hub, acceptor, secret).await?;
        let listening = tokio::spawn(lines::listen(hub.clone(), listener));
        let wire = Self {
            hub,
            address,
            gate,
            carrier,
            listening,
        };
        Ok((Arc::new(wire), found))
    }

    /// Where others reach this node.
    pub(crate) fn advertised(&self) -> &str {
        &self.hub.settings.advertise
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The nodes that are connected.
    pub(crate) fn connected(&self) -> Vec<NodeName> {
        let peers = self.hub.peers().into_iter();
        let ready = peers.filter(|peer| peer.is_ready());
        ready.map(|peer| peer.peer.name.clone()).collect()
    }

    /// Ends all connections, and the port is closed.
    pub(crate) fn close(&self) {
        self.listening.abort();
        self.hub.close();
        self.carrier.stop(None);
        self.gate.stop(None);
    }
}

impl Drop for ClusterWire {
    fn drop(&mut self) {
        self.close();
    }
}

/// Starts the gate, and what carries connections.
async fn start(
    hub: &Arc<Hub>,
    acceptor: TlsAcceptor,
    secret: &ClusterSecret,
) -> Result<(ActorCell, Carrier), String> {
    let gate = GateActor(Arc::downgrade(hub));
    // Nothing here has a name in ractor's registries.
    let (gate, gate_ends) = Actor::spawn(None, gate, ())
        .await
        .map_err(|error| format!("the gate for other nodes does not start: {error}"))?;
    let own = Party {
        name: hub.settings.name.clone(),
        life: Uuid::now_v7(),
        gate: gate.get_id().pid(),
    };
    let cookie = secret.key("cookie");
    let cookie: String = cookie.iter().map(|byte| format!("{byte:02x}")).collect();
    // Two lives are two nodes to ractor, whatever their addresses.
    let called = format!("{}#{}", own.name, own.life);
    let server = NodeServer::new(
        0,
        cookie,
        called.clone(),
        called,
        Some(IncomingEncryptionMode::Tls(acceptor)),
        Some(NodeConnectionMode::Isolated),
    );
    let server = server
        .with_listen_addr(std::net::Ipv4Addr::LOCALHOST.into())
        .with_max_inbound_frame_size(RACTOR_FRAME_BYTES_MAX);
    let (carrier, carrier_ends) = Actor::spawn(None, server, ())
        .await
        .map_err(|error| format!("the carrier of connections does not start: {error}"))?;
    let subscribed = carrier.cast(NodeServerMessage::SubscribeToEvents {
        id: "wire".to_owned(),
        subscription: Box::new(Sessions(Arc::downgrade(hub))),
    });
    subscribed.map_err(|error| format!("the carrier of connections does not start: {error}"))?;
    let _ = hub.carrier.set((own, carrier.clone()));
    tokio::spawn(notice(Arc::downgrade(hub), [gate_ends, carrier_ends]));
    Ok((gate.get_cell(), carrier))
}

/// Says so when what carries calls ends by itself: nothing begins it again.
async fn notice(hub: Weak<Hub>, [gate, carrier]: [JoinHandle<()>; 2]) {
    tokio::select! {
        _ = gate => {}
        _ = carrier => {}
    }
    if hub.upgrade().is_some_and(|hub| !hub.is_closed()) {
        tracing::error!("other nodes and this one do not hear each other any more: start it again");
    }
}

impl Wire for ClusterWire {
    fn open(&self, gate: Arc<Gate>) {
        self.hub.open(gate);
    }

    fn ask(
        &self,
        node: &NodeName,
        frame: Bytes,
        patience: Patience,
    ) -> BoxFuture<'static, Result<Bytes, LinkError>> {
        let (hub, node) = (self.hub.clone(), node.clone());
        Box::pin(async move {
            if let Some(peer) = hub.peer(&node) {
                return peer.ask(hub.stores(), frame, patience).await;
            }
            let within_ms = u64::try_from(patience.within.as_millis()).unwrap_or(u64::MAX);
            let relay = Relay {
                node,
                within_ms,
                call: frame,
            };
            hub.ask_around(relay, patience.waits).await
        })
    }

    fn tell(&self, node: &NodeName, frame: Bytes) {
        if let Some(peer) = self.hub.peer(node) {
            peer.tell(&frame);
        }
    }

    fn tell_all(&self, frame: Bytes) {
        for peer in self.hub.peers() {
            peer.tell(&frame);
        }
    }

    fn living(&self, nodes: &[NodeEntry]) {
        self.hub.living(nodes);
    }
}

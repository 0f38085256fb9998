//! Where shards are served, and how calls get there.
//!
//! A directory asks these two traits; who implements them decides nothing about any actor. A node that is alone needs neither.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use playhouse_schema::{
    address::{Entity, Shard},
    register::NodeName,
};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// Where a shard is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// On this node, and its lease runs.
    Here,
    /// On another node.
    There(NodeName),
    /// It is on its way from one node to another, or its node has died.
    Nowhere,
}

/// The map of shards as this node knows it. It may be old: who is asked in vain says so.
pub trait Routes: Send + Sync + 'static {
    /// Where a shard is served now.
    fn place(&self, shard: Shard) -> Place;

    /// Counts the changes of the map.
    fn changes(&self) -> watch::Receiver<u64>;

    /// The number of this node's life, as long as its lease runs. What was begun in another life may know less than the log.
    fn life(&self) -> Option<u64> {
        Some(0)
    }

    /// Whether something that one node at a time does, by its name and the role that it needs, falls to this node. It belongs to a shard, if who serves that
    /// has the role.
    fn does(&self, shard: Shard, _duty: (&str, &str)) -> bool {
        self.place(shard) == Place::Here
    }
}

/// What one node asks of an actor on another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// The kind of actor, [`super::Domain::NAME`].
    pub kind: String,
    /// Which actor.
    pub entity: Entity,
    /// What `body` is.
    pub errand: Errand,
    /// A packed command, query or signal.
    pub body: Bytes,
    /// So long will the answer be waited for, milliseconds.
    pub within_ms: u64,
    /// It is a question that waits for something to happen, a long poll for example: others are not to wait for its place.
    #[serde(default)]
    pub waits: bool,
}

/// What a call is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Errand {
    /// A command.
    Command,
    /// A query.
    Query,
    /// A signal; an actor that sleeps is woken for it.
    Signal,
    /// A signal for an actor that is awake.
    SignalIfAwake,
    /// The actor is to begin again from its log alone; there is no body.
    Renew,
}

/// Why there is no answer from another node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// Nobody has read the call: it has not left this node, or the other one has refused it unread.
    #[error("not reached")]
    Unreached,
    /// The connection broke after the call had left: it may have been carried out.
    #[error("the connection broke")]
    Broken,
    /// No answer in time. It may be carried out still.
    #[error("no answer in time")]
    TimedOut,
    /// The call, or its answer, is too large or malformed.
    #[error("malformed: {0}")]
    Malformed(String),
}

/// The way to other nodes.
pub trait Link: Send + Sync + 'static {
    /// Calls an actor on another node, and waits for what comes back: a frame made there by [`super::Served::serve`].
    fn ask(&self, node: &NodeName, call: Call) -> BoxFuture<'static, Result<Bytes, LinkError>>;

    /// Lets an actor on another node hear something. May be lost.
    fn tell(&self, node: &NodeName, call: Call);
}

/// The surroundings of a directory.
#[derive(Clone)]
pub enum Ways {
    /// There is no other node: every shard is served here.
    Alone,
    /// There are others.
    Cluster {
        /// Where shards are served.
        routes: Arc<dyn Routes>,
        /// How calls get there.
        link: Arc<dyn Link>,
    },
}

impl Ways {
    /// Whether a shard is served here.
    pub(super) fn is_here(&self, shard: Shard) -> bool {
        match self {
            Ways::Alone => true,
            Ways::Cluster { routes, .. } => routes.place(shard) == Place::Here,
        }
    }

    /// The lease under which an actor is woken now.
    pub(super) fn lease(&self) -> Lease {
        match self {
            Ways::Alone => Lease(None),
            Ways::Cluster { routes, .. } => Lease(Some((routes.clone(), routes.life()))),
        }
    }
}

/// The lease under which an actor was woken. One that gives its shard away has it still, and may answer.
pub(super) struct Lease(Option<(Arc<dyn Routes>, Option<u64>)>);

impl Lease {
    /// Whether nobody else can have written to the shard meanwhile.
    pub(super) fn runs(&self) -> bool {
        let Some((routes, life)) = &self.0 else {
            return true;
        };
        life.is_some() && routes.life() == *life
    }
}

/// The actors of one kind on this node, as other nodes and the map of shards see them.
pub trait Served: Send + Sync + 'static {
    /// [`super::Domain::NAME`].
    fn kind(&self) -> &'static str;

    /// Answers a call of another node with a frame; `None` when it cannot be read, or its answer cannot be sent.
    fn serve(self: Arc<Self>, call: Call) -> BoxFuture<'static, Option<Bytes>>;

    /// See [`super::Directory::release`].
    fn release(&self, shard: Shard, within: Duration) -> BoxFuture<'_, bool>;

    /// See [`super::Directory::abandon`].
    fn abandon(&self, shard: Shard);
}

/// So long a directory waits for news of the map before it asks once more: at first, and at most.
pub(super) const MAP_PATIENCE: (Duration, Duration) =
    (Duration::from_millis(20), Duration::from_millis(250));

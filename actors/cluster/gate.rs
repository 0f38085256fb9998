//! What comes in from other nodes.
//!
//! A node asks one thing of another: to call an actor. All else it tells, and nothing is lost if it is not heard: the log and the register say it again.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use futures_util::FutureExt as _;
use playhouse_schema::{
    address::{Family, Shard},
    port::{Head, StoredRecord},
    register::{Handed, NodeName},
};
use serde::{Deserialize, Serialize};

use super::{bell::Bell, map::Map};
use crate::{
    kernel::{Call, Served, parcel},
    writers::Tail,
};

/// What nodes tell each other.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Telling {
    /// An actor is to hear something.
    Signal(Call),
    /// The sender serves shards, under these terms.
    Serving(Vec<(Shard, u64)>),
    /// The register says something new that concerns the receiver.
    Look,
    /// The sender has given a shard to the receiver.
    Handed(Handed),
    /// The sender's writers have committed records; the heads of the shards after them.
    Committed {
        /// Of which family.
        family: Family,
        /// All of them since the sender told last, or none.
        records: Arc<[StoredRecord]>,
        /// Of the sender's shards.
        heads: Arc<[Head]>,
    },
    /// Something that those on other nodes hear who listen to a topic. What it means they know.
    Word {
        /// What it is about.
        topic: String,
        /// Packed.
        body: Bytes,
    },
}

/// Listens to what is said on other nodes.
pub trait Hears: Send + Sync + 'static {
    /// Something was said. Must not wait.
    fn hear(&self, from: &NodeName, topic: &str, body: &[u8]);
}

/// See the module's documentation.
pub struct Gate {
    served: BTreeMap<&'static str, Arc<dyn Served>>,
    map: Arc<Map>,
    tail: Arc<Tail>,
    bell: Arc<Bell>,
    ears: BTreeMap<&'static str, Arc<dyn Hears>>,
}

impl Gate {
    /// A gate before these kinds of actors. `bell` rings when there is work for this node.
    pub fn new(
        served: impl IntoIterator<Item = Arc<dyn Served>>,
        map: Arc<Map>,
        tail: Arc<Tail>,
        bell: Arc<Bell>,
    ) -> Self {
        let served = served.into_iter();
        Self {
            served: served.map(|kind| (kind.kind(), kind)).collect(),
            map,
            tail,
            bell,
            ears: BTreeMap::new(),
        }
    }

    /// Lets these listen, each to its topic.
    #[must_use]
    pub fn heard_by(
        mut self,
        ears: impl IntoIterator<Item = (&'static str, Arc<dyn Hears>)>,
    ) -> Self {
        self.ears.extend(ears);
        self
    }

    /// Another node asks. `None` when it cannot be answered: the node that asked hears that at once.
    pub async fn asked(&self, from: &NodeName, frame: &[u8]) -> Option<Bytes> {
        let call = match parcel::unpack::<Call>(frame) {
            Ok(call) => call,
            Err(error) => {
                tracing::error!(%from, %error, "another node's call cannot be read");
                return None;
            }
        };
        let served = self.served.get(call.kind.as_str())?.clone();
        served.serve(call).await
    }

    /// Another node tells something.
    pub fn told(&self, from: &NodeName, frame: &[u8]) {
        match parcel::unpack::<Telling>(frame) {
            Ok(Telling::Signal(call)) => {
                // It is in the mailbox at once, so that signals keep their order; whoever sends a question this way gets no answer.
                if let Some(served) = self.served.get(call.kind.as_str()) {
                    drop(served.clone().serve(call).now_or_never());
                }
            }
            Ok(Telling::Serving(shards)) => self.map.hear(from, &shards),
            Ok(Telling::Look) => self.bell.ring(),
            Ok(Telling::Handed(handed)) => self.bell.hand(handed),
            Ok(Telling::Word { topic, body }) => {
                if let Some(ear) = self.ears.get(topic.as_str()) {
                    ear.hear(from, &topic, &body);
                }
            }
            Ok(Telling::Committed {
                family,
                records,
                heads,
            }) => self.tail.publish(family, records, &heads),
            Err(error) => tracing::error!(%from, %error, "what another node tells cannot be read"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::future::BoxFuture;
    use parking_lot::Mutex;
    use playhouse_schema::address::Entity;

    use super::*;
    use crate::kernel::{Errand, memory::MemoryStore};

    /// Notes what it hears.
    struct Ear(Mutex<Vec<Bytes>>);

    impl Served for Ear {
        fn kind(&self) -> &'static str {
            "ear"
        }

        fn serve(self: Arc<Self>, call: Call) -> BoxFuture<'static, Option<Bytes>> {
            Box::pin(async move {
                self.0.lock().push(call.body);
                None
            })
        }

        fn release(&self, _shard: Shard, _within: Duration) -> BoxFuture<'_, bool> {
            Box::pin(std::future::ready(true))
        }

        fn abandon(&self, _shard: Shard) {}
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn signals_are_heard_in_the_order_in_which_they_come() {
        let from = NodeName::parse("two").unwrap();
        let ear = Arc::new(Ear(Mutex::default()));
        let gate = Gate::new(
            [ear.clone() as Arc<dyn Served>],
            Arc::new(Map::new(NodeName::parse("one").unwrap())),
            Arc::new(Tail::new(MemoryStore::with(2, 1))),
            Arc::default(),
        );
        let said: Vec<_> = (0..200_u8)
            .map(|number| Bytes::from(vec![number]))
            .collect();
        for body in &said {
            let call = Call {
                kind: "ear".to_owned(),
                entity: Entity::room("!a:example.org"),
                errand: Errand::Signal,
                body: body.clone(),
                within_ms: 0,
                waits: false,
            };
            gate.told(&from, &parcel::pack(&Telling::Signal(call)).unwrap());
        }
        assert_eq!(*ear.0.lock(), said);
    }
}

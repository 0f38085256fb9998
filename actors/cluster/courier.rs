//! What goes out to other nodes, over whatever carries it.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use playhouse_schema::{
    address::{Family, Shard},
    port::{Head, StoredRecord},
    register::{Handed, NodeEntry, NodeName},
};

use super::{
    gate::{Gate, Telling},
    tenants::Herald,
};
use crate::{
    kernel::{Call, Link, LinkError, parcel},
    writers::Relay,
};

/// So many bytes of records are told at a time. Of more only the heads are: who wants them reads the log.
const RECORDS_BYTES_MAX: usize = 2 << 20;

/// How an answer is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// No longer than this.
    pub within: Duration,
    /// What is asked waits for something to happen: it holds no place that others need who only want an answer.
    pub waits: bool,
}

/// Carries frames between nodes.
pub trait Wire: Send + Sync + 'static {
    /// Hands what comes in to a gate from now on.
    fn open(&self, gate: Arc<Gate>);

    /// Asks a node, and waits for its answer no longer than told. Never asks twice.
    fn ask(
        &self,
        node: &NodeName,
        frame: Bytes,
        patience: Patience,
    ) -> BoxFuture<'static, Result<Bytes, LinkError>>;

    /// Tells a node something. In order for each node; may be lost.
    fn tell(&self, node: &NodeName, frame: Bytes);

    /// Tells all nodes that are connected.
    fn tell_all(&self, frame: Bytes);

    /// The nodes that live, this one among them: who is not connected is called.
    fn living(&self, nodes: &[NodeEntry]);
}

/// See the module's documentation.
pub struct Courier(pub Arc<dyn Wire>);

impl Courier {
    /// Says something to those on all other nodes who listen to a topic. May be lost.
    pub fn say(&self, topic: &str, word: &impl serde::Serialize) {
        match parcel::pack(word) {
            Ok(body) => self.tell_all(&Telling::Word {
                topic: topic.to_owned(),
                body,
            }),
            Err(error) => tracing::error!(topic, %error, "cannot tell other nodes"),
        }
    }

    fn tell_all(&self, telling: &Telling) {
        match parcel::pack(telling) {
            Ok(frame) => self.0.tell_all(frame),
            Err(error) => tracing::error!(%error, "cannot tell other nodes"),
        }
    }

    fn tell(&self, node: &NodeName, telling: &Telling) {
        match parcel::pack(telling) {
            Ok(frame) => self.0.tell(node, frame),
            Err(error) => tracing::error!(%error, "cannot tell another node"),
        }
    }
}

impl Link for Courier {
    fn ask(&self, node: &NodeName, call: Call) -> BoxFuture<'static, Result<Bytes, LinkError>> {
        let patience = Patience {
            within: Duration::from_millis(call.within_ms),
            waits: call.waits,
        };
        match parcel::pack(&call) {
            Ok(frame) => self.0.ask(node, frame, patience),
            Err(error) => {
                let error = LinkError::Malformed(error.to_string());
                Box::pin(async move { Err(error) })
            }
        }
    }

    fn tell(&self, node: &NodeName, call: Call) {
        Self::tell(self, node, &Telling::Signal(call));
    }
}

impl Herald for Courier {
    fn serving(&self, shards: &[(Shard, u64)]) {
        if !shards.is_empty() {
            self.tell_all(&Telling::Serving(shards.to_vec()));
        }
    }

    fn look(&self, node: &NodeName) {
        self.tell(node, &Telling::Look);
    }

    fn hand(&self, node: &NodeName, handed: Handed) {
        self.tell(node, &Telling::Handed(handed));
    }

    fn living(&self, nodes: &[NodeEntry]) {
        self.0.living(nodes);
    }
}

impl Relay for Courier {
    fn committed(&self, family: Family, records: &Arc<[StoredRecord]>, heads: &[Head]) {
        let bytes: usize = records.iter().map(|record| record.payload.len()).sum();
        let records = if bytes > RECORDS_BYTES_MAX {
            Arc::default()
        } else {
            records.clone()
        };
        self.tell_all(&Telling::Committed {
            family,
            records,
            heads: heads.into(),
        });
    }
}

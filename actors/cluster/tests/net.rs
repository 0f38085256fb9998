//! Nodes in one process, with a wire between them that breaks when told to.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use playhouse_schema::register::{NodeEntry, NodeName};

use crate::{
    cluster::{Gate, Patience, Wire},
    kernel::LinkError,
};

/// All nodes, and what is broken between them.
#[derive(Default)]
pub(crate) struct Net {
    wires: Mutex<BTreeMap<NodeName, Weak<SimWire>>>,
    cut: Mutex<BTreeSet<(NodeName, NodeName)>>,
}

/// One node's end.
pub(crate) struct SimWire {
    name: NodeName,
    net: Arc<Net>,
    gate: OnceLock<Arc<Gate>>,
    /// The process is gone.
    is_dead: AtomicBool,
}

impl Net {
    /// Puts a node on the net, in the place of another of the same name.
    pub(crate) fn attach(self: &Arc<Self>, name: &NodeName) -> Arc<SimWire> {
        let wire = Arc::new(SimWire {
            name: name.clone(),
            net: self.clone(),
            gate: OnceLock::new(),
            is_dead: AtomicBool::new(false),
        });
        let mut wires = self.wires.lock();
        wires.insert(name.clone(), Arc::downgrade(&wire));
        wire
    }

    /// Nothing goes between two nodes any more.
    pub(crate) fn cut(&self, one: &NodeName, other: &NodeName) {
        self.cut.lock().insert(pair(one, other));
    }

    /// Everything goes everywhere again.
    pub(crate) fn heal(&self) {
        self.cut.lock().clear();
    }

    fn reach(&self, from: &NodeName, to: &NodeName) -> Option<Arc<SimWire>> {
        let is_cut = self.cut.lock().contains(&pair(from, to));
        let wire = self.wires.lock().get(to).and_then(Weak::upgrade);
        wire.filter(|wire| !is_cut && !wire.is_dead.load(Ordering::SeqCst))
    }
}

fn pair(one: &NodeName, other: &NodeName) -> (NodeName, NodeName) {
    let (first, second) = if one < other {
        (one, other)
    } else {
        (other, one)
    };
    (first.clone(), second.clone())
}

impl SimWire {
    /// Nothing comes in or goes out any more.
    pub(crate) fn die(&self) {
        self.is_dead.store(true, Ordering::SeqCst);
    }
}

impl Wire for SimWire {
    fn open(&self, gate: Arc<Gate>) {
        let _ = self.gate.set(gate);
    }

    fn ask(
        &self,
        node: &NodeName,
        frame: Bytes,
        patience: Patience,
    ) -> BoxFuture<'static, Result<Bytes, LinkError>> {
        let (own, net, to) = (self.name.clone(), self.net.clone(), node.clone());
        let is_dead = self.is_dead.load(Ordering::SeqCst);
        Box::pin(async move {
            let there = net.reach(&own, &to).filter(|_| !is_dead);
            let there = there.ok_or(LinkError::Unreached)?;
            let gate = there.gate.get().ok_or(LinkError::Unreached)?.clone();
            let answer = async {
                let answer = gate.asked(&own, &frame).await;
                // Its process may have ended, or its line broken, before the answer was out.
                net.reach(&own, &to).ok_or(LinkError::Broken)?;
                answer.ok_or(LinkError::Broken)
            };
            let broken = async {
                while net.reach(&own, &to).is_some() {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            };
            tokio::select! {
                answer = answer => answer,
                () = broken => Err(LinkError::Broken),
                () = tokio::time::sleep(patience.within) => Err(LinkError::TimedOut),
            }
        })
    }

    fn tell(&self, node: &NodeName, frame: Bytes) {
        if self.is_dead.load(Ordering::SeqCst) {
            return;
        }
        if let Some(there) = self.net.reach(&self.name, node)
            && let Some(gate) = there.gate.get()
        {
            gate.told(&self.name, &frame);
        }
    }

    fn tell_all(&self, frame: Bytes) {
        let names: Vec<_> = self.net.wires.lock().keys().cloned().collect();
        for name in names.iter().filter(|name| **name != self.name) {
            self.tell(name, frame.clone());
        }
    }

    fn living(&self, _nodes: &[NodeEntry]) {}
}

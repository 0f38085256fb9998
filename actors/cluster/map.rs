//! The map of shards as one node knows it.
//!
//! What the node holds itself it knows for certain, as long as its lease runs by its own clock; of the others it knows what the register said last, or what
//! they have told since.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use parking_lot::RwLock;
use playhouse_schema::{
    address::Shard,
    register::{Incarnation, NodeName, RegisterView},
};
use tokio::sync::watch;

use crate::kernel::ways::{Place, Routes};

/// See the module's documentation.
pub struct Map {
    name: NodeName,
    started: Instant,
    /// The lease runs until then, milliseconds since `started`, by this node's clock.
    valid_ms: AtomicU64,
    known: RwLock<Known>,
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct Known {
    /// Shards that this node serves.
    served: BTreeSet<Shard>,
    /// Where the others are, and the term under which they are there.
    others: BTreeMap<Shard, (NodeName, u64)>,
}

impl Map {
    /// A map without any shard.
    pub fn new(name: NodeName) -> Self {
        Self {
            name,
            started: Instant::now(),
            valid_ms: AtomicU64::new(0),
            known: RwLock::default(),
            changes: watch::Sender::new(0),
        }
    }

    /// This node's name.
    pub fn name(&self) -> &NodeName {
        &self.name
    }

    /// The lease runs so long after a moment, which lies before the request that renewed it.
    pub fn extend(&self, from: Instant, lease: Duration) {
        let until = from.saturating_duration_since(self.started) + lease;
        let until_ms = u64::try_from(until.as_millis()).unwrap_or(u64::MAX);
        self.valid_ms.store(until_ms, Ordering::Release);
    }

    /// The lease has run out: nothing is served here any more.
    pub fn lapse(&self) -> Vec<Shard> {
        self.valid_ms.store(0, Ordering::Release);
        let served = std::mem::take(&mut self.known.write().served);
        self.tell();
        served.into_iter().collect()
    }

    /// Whether the lease runs, by this node's clock.
    pub fn is_valid(&self) -> bool {
        let now_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        now_ms < self.valid_ms.load(Ordering::Acquire)
    }

    /// Begins to serve a shard.
    pub fn serve(&self, shards: &[Shard]) {
        let mut known = self.known.write();
        for shard in shards {
            known.others.remove(shard);
            known.served.insert(*shard);
        }
        drop(known);
        self.tell();
    }

    /// Serves a shard no more. What waits for an answer gets it still.
    pub fn part_with(&self, shard: Shard) {
        self.known.write().served.remove(&shard);
        self.tell();
    }

    /// Whether this node serves a shard, whatever its lease.
    pub fn serves(&self, shard: Shard) -> bool {
        self.known.read().served.contains(&shard)
    }

    /// The shards that this node serves.
    pub fn served(&self) -> Vec<Shard> {
        self.known.read().served.iter().copied().collect()
    }

    /// Learns from the register where the others' shards are. What another node has told since, under a later term, stays.
    pub fn learn(&self, view: &RegisterView, own: Incarnation) {
        let mut known = self.known.write();
        let mut has_changed = false;
        for entry in &view.shards {
            let holder = entry.holder.filter(|holder| *holder != own);
            let node = holder.and_then(|holder| view.node_of(holder));
            let told = known.others.get(&entry.shard);
            if told.is_some_and(|(_, term)| *term > entry.term) {
                continue;
            }
            let place = node.map(|node| (node.name.clone(), entry.term));
            if told == place.as_ref() {
                continue;
            }
            has_changed = true;
            match place {
                Some(place) => known.others.insert(entry.shard, place),
                None => known.others.remove(&entry.shard),
            };
        }
        drop(known);
        if has_changed {
            self.tell();
        }
    }

    /// Another node says that it serves shards under these terms.
    pub fn hear(&self, node: &NodeName, shards: &[(Shard, u64)]) {
        let mut known = self.known.write();
        for (shard, term) in shards {
            let is_news = known
                .others
                .get(shard)
                .is_none_or(|(_, known)| known < term);
            if is_news && !known.served.contains(shard) {
                known.others.insert(*shard, (node.clone(), *term));
            }
        }
        drop(known);
        self.tell();
    }

    /// A node is dead: nothing is served there.
    pub fn bury(&self, node: &NodeName) {
        self.known.write().others.retain(|_, (at, _)| at != node);
        self.tell();
    }

    fn tell(&self) {
        self.changes.send_modify(|count| *count += 1);
    }
}

impl Routes for Map {
    fn place(&self, shard: Shard) -> Place {
        let known = self.known.read();
        if known.served.contains(&shard) {
            return if self.is_valid() {
                Place::Here
            } else {
                Place::Nowhere
            };
        }
        let there = known.others.get(&shard);
        there.map_or(Place::Nowhere, |(node, _)| Place::There(node.clone()))
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use playhouse_schema::{
        address::Family,
        register::{NodeEntry, ShardEntry, Standing},
    };
    use uuid::Uuid;

    use super::*;

    const SHARD: Shard = Shard {
        family: Family::Rooms,
        number: 1,
    };

    fn name(text: &str) -> NodeName {
        NodeName::parse(text).unwrap()
    }

    /// A register in which a node holds the shard.
    fn held(node: &str, term: u64, left_ms: u64) -> RegisterView {
        let incarnation = Uuid::from_u128(7);
        RegisterView {
            nodes: vec![NodeEntry {
                name: name(node),
                incarnation,
                address: String::new(),
                roles: Vec::new(),
                standing: Standing::Serving,
                facts: String::new(),
                joined_ms: 0,
                left_ms,
            }],
            shards: vec![ShardEntry {
                shard: SHARD,
                holder: Some(incarnation),
                term,
                wanted: None,
                pinned: None,
            }],
        }
    }

    #[test]
    fn a_shard_is_here_as_long_as_the_lease_runs() {
        let map = Map::new(name("a"));
        map.serve(&[SHARD]);
        assert_eq!(map.place(SHARD), Place::Nowhere);
        map.extend(Instant::now(), Duration::from_secs(60));
        assert_eq!(map.place(SHARD), Place::Here);
        map.extend(map.started, Duration::ZERO);
        assert_eq!(map.place(SHARD), Place::Nowhere);
        assert_eq!(map.lapse(), [SHARD]);
        map.extend(Instant::now(), Duration::from_secs(60));
        assert_eq!(map.place(SHARD), Place::Nowhere);
    }

    #[test]
    fn what_a_node_tells_is_newer_than_an_older_view() {
        let map = Map::new(name("a"));
        let own = Uuid::from_u128(1);
        map.learn(&held("b", 3, 100), own);
        assert_eq!(map.place(SHARD), Place::There(name("b")));
        map.hear(&name("c"), &[(SHARD, 4)]);
        assert_eq!(map.place(SHARD), Place::There(name("c")));
        // It was read before the move.
        map.learn(&held("b", 3, 100), own);
        assert_eq!(map.place(SHARD), Place::There(name("c")));
        map.hear(&name("b"), &[(SHARD, 3)]);
        assert_eq!(map.place(SHARD), Place::There(name("c")));
        map.learn(&held("b", 5, 100), own);
        assert_eq!(map.place(SHARD), Place::There(name("b")));
        map.bury(&name("b"));
        assert_eq!(map.place(SHARD), Place::Nowhere);
    }

    #[test]
    fn who_is_dead_serves_nothing() {
        let map = Map::new(name("a"));
        map.learn(&held("b", 3, 0), Uuid::from_u128(1));
        assert_eq!(map.place(SHARD), Place::Nowhere);
    }

    #[test]
    fn changes_are_counted() {
        let map = Map::new(name("a"));
        let mut changes = map.changes();
        changes.borrow_and_update();
        map.learn(&held("b", 3, 100), Uuid::from_u128(1));
        assert!(changes.has_changed().unwrap());
        changes.borrow_and_update();
        map.learn(&held("b", 3, 100), Uuid::from_u128(1));
        assert!(!changes.has_changed().unwrap());
    }
}

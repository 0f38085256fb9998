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
    register::{Incarnation, NodeName, RegisterView, Standing},
};
use tokio::sync::watch;

use super::{balance::role_of, roles};
use crate::kernel::ways::{Place, Routes};

/// See the module's documentation.
pub struct Map {
    name: NodeName,
    /// What this node is for.
    roles: Vec<String>,
    started: Instant,
    /// The lease runs until then, milliseconds since `started`, by this node's clock.
    valid_ms: AtomicU64,
    /// How many leases have run out before.
    lives: AtomicU64,
    known: RwLock<Known>,
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct Known {
    /// Shards that this node serves.
    served: BTreeSet<Shard>,
    /// Where the others are, and the term under which they are there.
    others: BTreeMap<Shard, (NodeName, u64)>,
    /// The nodes that live, this one among them.
    living: BTreeMap<NodeName, Living>,
}

/// A node that lives.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Living {
    roles: Vec<String>,
    /// It is about to end, or is to rest.
    is_going: bool,
}

impl Known {
    /// The node to which something falls that needs a role, if none of those counts that hold shards. All that know the same say the same, and what one that
    /// goes had is spread over the others. Who is going has it only if nobody else could.
    fn best(&self, (duty, role): (&str, &str)) -> Option<&NodeName> {
        let fit = self.living.iter();
        let fit = fit.filter(|(_, node)| roles::has(&node.roles, role));
        let best = fit.max_by_key(|(name, node)| (!node.is_going, weight(name, duty)));
        best.map(|(name, _)| name)
    }

    /// Whether a shard that is nowhere comes to a node that has a role, too.
    fn will_fit(&self, shard: Shard, role: &str) -> bool {
        let mut living = self.living.values();
        living.any(|node| {
            !node.is_going
                && roles::has(&node.roles, role)
                && roles::has(&node.roles, role_of(shard.family))
        })
    }
}

/// How much a node is meant for something, at random but the same for all (rendezvous hashing: FNV-1a, mixed once more).
fn weight(node: &NodeName, duty: &str) -> u64 {
    let bytes = node.as_str().bytes().chain([0]).chain(duty.bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ (hash >> 33)
}

impl Map {
    /// A map without any shard, of a node that is for everything.
    pub fn new(name: NodeName) -> Self {
        Self {
            name,
            roles: roles::all(),
            started: Instant::now(),
            valid_ms: AtomicU64::new(0),
            lives: AtomicU64::new(0),
            known: RwLock::default(),
            changes: watch::Sender::new(0),
        }
    }

    /// What this node is for.
    #[must_use]
    pub fn with_roles(self, roles: Vec<String>) -> Self {
        Self { roles, ..self }
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
        self.lives.fetch_add(1, Ordering::AcqRel);
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
        let living = view.nodes.iter().filter(|node| node.is_alive());
        let living: BTreeMap<_, _> = living
            .map(|node| {
                let living = Living {
                    roles: node.roles.clone(),
                    is_going: node.standing == Standing::Draining,
                };
                (node.name.clone(), living)
            })
            .collect();
        let mut known = self.known.write();
        let mut has_changed = known.living != living;
        known.living = living;
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
        let mut known = self.known.write();
        known.others.retain(|_, (at, _)| at != node);
        known.living.remove(node);
        drop(known);
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

    fn life(&self) -> Option<u64> {
        // In this order: a lease that ends in between is of an earlier life.
        self.is_valid().then(|| self.lives.load(Ordering::Acquire))
    }

    fn does(&self, shard: Shard, duty: (&str, &str)) -> bool {
        let (_, role) = duty;
        if !self.is_valid() || !roles::has(&self.roles, role) {
            return false;
        }
        let known = self.known.read();
        if known.served.contains(&shard) {
            return true;
        }
        let does_holder = match known.others.get(&shard) {
            Some((node, _)) => {
                let holder = known.living.get(node);
                holder.is_some_and(|holder| roles::has(&holder.roles, role))
            }
            None => known.will_fit(shard, role),
        };
        !does_holder && known.best(duty) == Some(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use playhouse_schema::{
        address::Family,
        register::{NodeEntry, ShardEntry},
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
                left_ms,
                ..NodeEntry::new(name(node), incarnation)
            }],
            shards: vec![ShardEntry {
                shard: SHARD,
                holder: Some(incarnation),
                term,
                wanted: None,
                pinned: None,
                alone: false,
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

    /// Nodes with roles.
    fn nodes(nodes: &[(&str, &[&str], u64)]) -> RegisterView {
        let mut view = held("b", 3, 100);
        view.nodes.clear();
        for (number, (node, roles, left_ms)) in (7..).zip(nodes) {
            view.nodes.push(NodeEntry {
                roles: roles.iter().map(|role| (*role).to_owned()).collect(),
                left_ms: *left_ms,
                ..NodeEntry::new(name(node), Uuid::from_u128(number))
            });
        }
        view
    }

    /// The nodes to which something falls that belongs to the shard; the first node holds it.
    fn doing(view: &RegisterView, duty: &str) -> Vec<NodeName> {
        let does = |node: &&NodeEntry| {
            let map = Map::new(node.name.clone()).with_roles(node.roles.clone());
            map.extend(Instant::now(), Duration::from_secs(60));
            map.learn(view, node.incarnation);
            if view.shards[0].holder == Some(node.incarnation) && node.is_alive() {
                map.serve(&[SHARD]);
            }
            map.does(SHARD, (duty, roles::MEDIA))
        };
        let doing = view.nodes.iter().filter(|node| node.is_alive());
        doing.filter(does).map(|node| node.name.clone()).collect()
    }

    #[test]
    fn what_one_node_does_falls_to_one_that_is_for_it() {
        let (all, none, media): (&[&str], &[&str], &[&str]) =
            (&["rooms", "media"], &["rooms"], &["media"]);
        // Who holds the shard does it.
        let view = nodes(&[("a", all, 9), ("b", all, 9), ("c", media, 9)]);
        assert_eq!(doing(&view, "x"), [name("a")]);
        // Who holds it is not for such things: one of the others, and not the same for everything.
        let view = nodes(&[("a", none, 9), ("b", all, 9), ("c", media, 9)]);
        let duties = (0..50).map(|number| doing(&view, &format!("duty {number}")));
        let duties: Vec<_> = duties.collect();
        assert!(
            duties
                .iter()
                .all(|doing| doing.len() == 1 && doing[0] != name("a"))
        );
        assert!(duties.contains(&vec![name("b")]) && duties.contains(&vec![name("c")]));
        // It dies: what it did falls to the other at once, and nothing else moves.
        let later = nodes(&[("a", none, 9), ("b", all, 0), ("c", media, 9)]);
        for number in 0..50 {
            assert_eq!(doing(&later, &format!("duty {number}")), [name("c")]);
        }
        let nobody = nodes(&[("a", none, 9), ("b", none, 9)]);
        assert_eq!(doing(&nobody, "x"), []);
        assert_eq!(roles::missing(&nobody).len(), roles::ROLES.len() - 1);
    }

    #[test]
    fn a_shard_on_its_way_comes_to_somebody_who_does_what_belongs_to_it() {
        let mut view = nodes(&[("a", &["rooms", "media"], 9), ("b", &["media"], 9)]);
        view.shards[0].holder = None;
        assert_eq!(doing(&view, "x"), []);
        // Nobody who may have it is for it.
        let mut view = nodes(&[("a", &["rooms"], 9), ("b", &["media"], 9)]);
        view.shards[0].holder = None;
        assert_eq!(doing(&view, "x"), [name("b")]);
    }

    #[test]
    fn who_goes_gives_away_what_others_can_do() {
        let mut view = nodes(&[
            ("a", &["rooms"], 9),
            ("b", &["media"], 9),
            ("c", &["media"], 9),
        ]);
        view.nodes[1].standing = Standing::Draining;
        for number in 0..20 {
            assert_eq!(doing(&view, &format!("duty {number}")), [name("c")]);
        }
        view.nodes[2].left_ms = 0;
        assert_eq!(doing(&view, "x"), [name("b")]);
    }

    #[test]
    fn lives_are_counted() {
        let map = Map::new(name("a"));
        assert_eq!(map.life(), None);
        map.extend(Instant::now(), Duration::from_secs(60));
        assert_eq!(map.life(), Some(0));
        map.lapse();
        assert_eq!(map.life(), None);
        map.extend(Instant::now(), Duration::from_secs(60));
        assert_eq!(map.life(), Some(1));
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

//! Several nodes over one log: shards move while they are written, and nothing is lost or done twice.

mod lives;
pub(crate) mod net;
mod writers;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::BoxFuture;
use playhouse_schema::{
    address::{Entity, Family, Shard},
    port::{EntityRange, LogStore},
    record::codec::Record as _,
    register::{Claim, NodeName, Register},
};
use tokio::sync::watch;

use self::{
    net::{Net, SimWire},
    writers::Writers,
};
use super::{Bell, Courier, Facts, Gate, Map, Tenants, Ward, WardSettings, Wire as _};
use crate::{
    kernel::{
        Directory, DirectoryLimits, Place, Routes as _, Served, Unavailable, Ways,
        memory::{MemoryRegister, MemoryStore, env},
        tests::counter::{Added, Counter, CounterError, Order, Question, Signals},
    },
    writers::{PoolLimits, Pools},
};

/// Of nodes that are killed, or lose it.
const LEASE: Duration = Duration::from_millis(1_000);
/// Of nodes that keep it: a machine with much to do does not lose it by the way.
const STEADY: Duration = Duration::from_secs(60);
const BEAT: Duration = Duration::from_millis(50);

/// So many shards each of two nodes has in the end: nothing moves any more.
const HALF: usize = 4 * Family::ALL.len();

/// The counters that are counted.
const ROOMS: usize = 24;

/// What the nodes share.
struct World {
    lease: Duration,
    store: Arc<MemoryStore>,
    register: Arc<MemoryRegister>,
    net: Arc<Net>,
}

/// A node.
struct Node {
    map: Arc<Map>,
    ward: Arc<Ward>,
    pools: Arc<Pools>,
    counters: Arc<Directory<Counter>>,
    wire: Arc<SimWire>,
    stop: watch::Sender<bool>,
    beating: tokio::task::JoinHandle<()>,
}

/// What lives on a node: counters, and nothing else.
struct Lodging {
    pools: Arc<Pools>,
    counters: Arc<Directory<Counter>>,
}

impl Tenants for Lodging {
    fn begin<'a>(&'a self, claims: &'a [Claim]) -> BoxFuture<'a, Vec<Shard>> {
        Box::pin(async move {
            let refused = self.pools.take(claims).await;
            refused.into_iter().map(|(shard, _)| shard).collect()
        })
    }

    fn end(&self, shard: Shard) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.counters.release(shard, Duration::from_secs(60)).await;
            let _ = self.pools.let_go(shard).await;
        })
    }

    fn abandon(&self, shard: Shard) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.counters.abandon(shard);
            let _ = self.pools.let_go(shard).await;
        })
    }

    fn lost(&self) -> Vec<Shard> {
        self.pools.fenced_shards()
    }

    fn facts(&self) -> Facts {
        Facts::default()
    }
}

impl World {
    /// A world in which nobody loses a lease unless it is taken from it.
    fn steady() -> Self {
        Self::with(STEADY)
    }

    fn with(lease: Duration) -> Self {
        let store = MemoryStore::with(8, 2);
        Self {
            lease,
            register: Arc::new(MemoryRegister::new(store.layout())),
            store,
            net: Arc::default(),
        }
    }

    async fn node(&self, name: &str) -> Node {
        let name = NodeName::parse(name).unwrap();
        let wire = self.net.attach(&name);
        let map = Arc::new(Map::new(name.clone()));
        let courier = Arc::new(Courier(wire.clone()));
        let limits = (PoolLimits::default(), false);
        let pools = Pools::open_among(self.store.clone(), env(), limits).await;
        let pools = pools.unwrap();
        let ways = Ways::Cluster {
            routes: map.clone(),
            link: courier.clone(),
        };
        let limits = DirectoryLimits {
            call_timeout_ms: 30_000,
            ..DirectoryLimits::default()
        };
        let place = (self.store.clone() as Arc<dyn LogStore>, pools.clone() as _);
        let counters = Directory::among(ways, Arc::new(Signals::default()), place, limits);
        let counters = counters.await.unwrap();
        let bell = Arc::<Bell>::default();
        let served = [counters.clone() as Arc<dyn Served>];
        let gate = Gate::new(served, map.clone(), pools.tail(), bell.clone());
        wire.open(Arc::new(gate));
        let lodging = Arc::new(Lodging {
            pools: pools.clone(),
            counters: counters.clone(),
        });
        let settings = WardSettings {
            address: format!("{name}:1"),
            name,
            roles: Family::ALL.map(|family| family.name().to_owned()).into(),
            lease: self.lease,
            beat: BEAT,
        };
        let register = self.register.clone();
        let ward = Ward::join(register, map.clone(), (lodging, courier, bell), settings);
        let ward = ward.await.unwrap();
        let (stop, stopped) = watch::channel(false);
        let beating = tokio::spawn(ward.clone().run(stopped));
        Node {
            map,
            ward,
            pools,
            counters,
            wire,
            stop,
            beating,
        }
    }

    /// Waits until every shard is served by one of these nodes, and they know.
    async fn settled(&self, nodes: &[&Node]) {
        let shards = Family::ALL.into_iter().flat_map(|family| {
            (0..self.store.layout().shards).map(move |number| Shard { family, number })
        });
        let shards: Vec<_> = shards.collect();
        let is_settled = || {
            shards.iter().all(|shard| {
                let here = nodes.iter().filter(|node| node.map.serves(*shard));
                let known = nodes
                    .iter()
                    .all(|node| node.map.place(*shard) != Place::Nowhere);
                here.count() == 1 && known
            })
        };
        let deadline = Instant::now() + Duration::from_secs(120);
        while !is_settled() {
            assert!(Instant::now() < deadline, "shards find no place");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until each of these nodes serves so many shards at least.
    async fn shared(&self, nodes: &[&Node], least: usize) {
        let deadline = Instant::now() + Duration::from_secs(120);
        while nodes.iter().any(|node| node.map.served().len() < least) {
            assert!(Instant::now() < deadline, "shards are not shared");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.settled(nodes).await;
    }

    /// The numbers that were added to a counter, in order.
    async fn added(&self, room: usize) -> Vec<u64> {
        let range = EntityRange {
            from: 1,
            to: i64::MAX as u64,
            backwards: false,
            limit: usize::MAX,
        };
        let records = self.store.read_entity(&entity(room), range).await.unwrap();
        let added = records.iter().map(|record| Added::decode(record).unwrap());
        added.flatten().map(|Added(number)| number).collect()
    }
}

impl Node {
    /// As SIGKILL does: nothing is told or written any more.
    fn kill(self) {
        self.wire.die();
        self.beating.abort();
        for shard in self.map.lapse() {
            self.counters.abandon(shard);
        }
        drop(self.pools);
    }

    async fn leave(self) {
        self.ward.leave(Duration::from_secs(120)).await.unwrap();
        let _ = self.stop.send(true);
        self.counters.close(Duration::from_secs(120)).await;
        self.pools.close(Duration::from_secs(120)).await;
        self.wire.die();
    }
}

fn entity(room: usize) -> Entity {
    Entity::room(&format!("!{room}:test.example"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_find_their_actor_from_any_node() {
    let world = World::steady();
    let (one, two) = (world.node("one").await, world.node("two").await);
    world.shared(&[&one, &two], HALF).await;
    for room in 0..ROOMS {
        let sum = one.counters.command(entity(room), Order::Add(5)).await;
        assert_eq!(sum.unwrap(), 5);
        let sum = two.counters.query(entity(room), Question::Sum).await;
        assert_eq!(sum.unwrap(), 5);
        let refused = two.counters.command(entity(room), Order::Refuse).await;
        assert_eq!(refused.unwrap_err(), CounterError::Refused);
    }
    assert!(one.counters.residents() > 0 && two.counters.residents() > 0);
    assert_eq!(one.counters.residents() + two.counters.residents(), ROOMS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_come_and_go_and_no_call_fails() {
    let world = World::steady();
    let one = world.node("one").await;
    world.settled(&[&one]).await;
    let writers = Writers::begin(8, vec![one.counters.clone()]);
    for round in 0..4 {
        let two = world.node(&format!("two{round}")).await;
        writers.doors.lock().push(two.counters.clone());
        let three = world.node(&format!("three{round}")).await;
        writers.doors.lock().push(three.counters.clone());
        world.settled(&[&one, &two, &three]).await;
        world.shared(&[&one, &two, &three], 6).await;
        writers.go_on().await;
        // Who leaves is asked no more, as a proxy sees to it.
        writers.doors.lock().truncate(1);
        two.leave().await;
        three.leave().await;
        world.settled(&[&one]).await;
    }
    let (doubtful, longest) = writers.end(&world).await;
    assert_eq!(doubtful, 0);
    assert!(longest < Duration::from_secs(60), "{longest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiting_query_moves_with_its_actor() {
    let world = World::steady();
    let one = world.node("one").await;
    world.settled(&[&one]).await;
    let rooms: Vec<_> = (0..ROOMS).collect();
    let waiting: Vec<_> = rooms
        .iter()
        .map(|room| {
            let (counters, entity) = (one.counters.clone(), entity(*room));
            tokio::spawn(async move { counters.query(entity, Question::Until(7)).await })
        })
        .collect();
    let two = world.node("two").await;
    world.shared(&[&one, &two], 6).await;
    for room in rooms {
        let added = two.counters.command(entity(room), Order::Add(7)).await;
        assert_eq!(added.unwrap(), 7);
    }
    for waiting in waiting {
        assert_eq!(waiting.await.unwrap().unwrap(), 7);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_killed_is_replaced_when_its_lease_ends() {
    let world = World::with(LEASE);
    let (one, two, three) = (
        world.node("one").await,
        world.node("two").await,
        world.node("three").await,
    );
    world.shared(&[&one, &two, &three], 6).await;
    let writers = Writers::begin(8, vec![one.counters.clone(), two.counters.clone()]);
    writers.go_on().await;
    three.kill();
    world.settled(&[&one, &two]).await;
    writers.go_on().await;
    let (_, longest) = writers.end(&world).await;
    assert!(longest < Duration::from_secs(60), "{longest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_loses_its_lease_serves_nothing_and_begins_anew() {
    let world = World::with(LEASE);
    let (one, two) = (world.node("one").await, world.node("two").await);
    world.shared(&[&one, &two], 6).await;
    let before = (one.ward.incarnation(), two.ward.incarnation());
    let writers = Writers::begin(4, vec![one.counters.clone(), two.counters.clone()]);
    world.register.set_away(true);
    let deadline = Instant::now() + Duration::from_secs(120);
    while one.map.is_valid() || two.map.is_valid() {
        assert!(Instant::now() < deadline, "the lease does not end");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for number in 0..world.store.layout().shards {
        for family in Family::ALL {
            let place = one.map.place(Shard { family, number });
            assert_ne!(place, Place::Here);
        }
    }
    // Longer than the lease by the register's clock, too.
    tokio::time::sleep(LEASE).await;
    world.register.set_away(false);
    world.settled(&[&one, &two]).await;
    assert!(one.ward.incarnation() != before.0 && two.ward.incarnation() != before.1);
    writers.go_on().await;
    writers.end(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_line_fails_calls_and_loses_nothing() {
    let world = World::steady();
    let (one, two) = (world.node("one").await, world.node("two").await);
    world.shared(&[&one, &two], HALF).await;
    let writers = Writers::begin(6, vec![one.counters.clone(), two.counters.clone()]);
    for _ in 0..5 {
        world.net.cut(one.map.name(), two.map.name());
        tokio::time::sleep(Duration::from_millis(100)).await;
        world.net.heal();
        writers.go_on().await;
    }
    writers.end(&world).await;
    let far = (0..ROOMS).find(|room| {
        !one.map
            .serves(world.store.layout().shard_of(&entity(*room)))
    });
    let far = entity(far.unwrap());
    world.net.cut(one.map.name(), two.map.name());
    let within = Duration::from_millis(200);
    let late = one
        .counters
        .query_within(far.clone(), Question::Sum, within);
    let late = late.await.unwrap_err();
    assert_eq!(late, CounterError::Unavailable(Unavailable::Timeout));
    world.net.heal();
    assert!(one.counters.query(far, Question::Sum).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_write_is_in_the_tail() {
    let world = World::steady();
    let (one, two) = (world.node("one").await, world.node("two").await);
    one.pools
        .tail()
        .relay_to(Arc::new(Courier(one.wire.clone())));
    two.pools
        .tail()
        .relay_to(Arc::new(Courier(two.wire.clone())));
    world.settled(&[&one, &two]).await;
    let mut reader = one.pools.tail().follow(Family::Rooms, &[]);
    for room in 0..ROOMS {
        two.counters
            .command(entity(room), Order::Add(1))
            .await
            .unwrap();
    }
    let mut seen = 0;
    let all = async {
        while seen < ROOMS {
            seen += reader.next().await.len();
        }
    };
    tokio::time::timeout(Duration::from_secs(120), all)
        .await
        .unwrap();
    assert_eq!(seen, ROOMS);
    assert!(world.register.view().await.unwrap().nodes.len() == 2);
}

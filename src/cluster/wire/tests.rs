//! Two wires in one process: what is asked and told arrives, and what cannot is said so.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use playhouse_actors::{
    cluster::{Courier, Map},
    kernel::{Call, Errand, Link, Served},
    writers::Tail,
};
use playhouse_schema::{
    address::{Entity, Shard},
    drivers::{self, DatabaseConfig},
};

use super::{
    shelf::{PART_BYTES_MAX, WHOLE_BYTES_MAX},
    *,
};

const LONG: Duration = Duration::from_secs(60);

/// An actor that does what it is told.
#[derive(Default)]
struct Echo {
    heard: AtomicUsize,
}

impl Served for Echo {
    fn kind(&self) -> &'static str {
        "echo"
    }

    fn serve(self: Arc<Self>, call: Call) -> BoxFuture<'static, Option<Bytes>> {
        assert!(call.body != "panic at once", "as it was told");
        Box::pin(async move {
            self.heard.fetch_add(1, Ordering::SeqCst);
            match &call.body[..] {
                b"say nothing" => None,
                b"panic" => panic!("as it was told"),
                b"wait" => std::future::pending().await,
                b"say much" => Some(much()),
                _ => Some(call.body),
            }
        })
    }

    fn release(&self, _shard: Shard, _within: Duration) -> BoxFuture<'_, bool> {
        Box::pin(async { true })
    }

    fn abandon(&self, _shard: Shard) {}
}

fn much() -> Bytes {
    let bytes = 0..PART_BYTES_MAX * 2 + 17;
    bytes.map(|at| (at % 251) as u8).collect::<Vec<_>>().into()
}

struct Node {
    name: NodeName,
    wire: Arc<ClusterWire>,
    courier: Courier,
    echo: Arc<Echo>,
    dead: mpsc::Receiver<Incarnation>,
    incarnation: Incarnation,
    _folder: tempfile::TempDir,
}

impl Node {
    async fn start(name: &str) -> Self {
        Self::start_with(name, "a secret that is long enough").await
    }

    async fn start_with(name: &str, secret: &str) -> Self {
        crate::node::install_crypto();
        let name = NodeName::parse(name).unwrap();
        let settings = WireSettings {
            name: name.clone(),
            listen: "127.0.0.1:0".to_owned(),
            advertise: String::new(),
            fast_burial: true,
            silence: silence(LONG),
        };
        let secret = ClusterSecret::new(secret).unwrap();
        let (wire, dead) = ClusterWire::open(settings, &secret).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let store = drivers::open(DatabaseConfig::Sqlite {
            folder: folder.path().to_owned(),
            writers: 1,
        });
        let tail = Arc::new(Tail::new(store.await.unwrap()));
        let echo = Arc::new(Echo::default());
        let map = Arc::new(Map::new(name.clone()));
        let served = [echo.clone() as Arc<dyn Served>];
        let gate = Gate::new(served, map, tail, Arc::default());
        Wire::open(&*wire, Arc::new(gate));
        Self {
            name,
            courier: Courier(wire.clone()),
            wire,
            echo,
            dead,
            incarnation: Uuid::now_v7(),
            _folder: folder,
        }
    }

    fn entry(&self) -> NodeEntry {
        NodeEntry {
            address: self.wire.advertised().to_owned(),
            left_ms: 1_000,
            ..NodeEntry::new(self.name.clone(), self.incarnation)
        }
    }

    async fn ask(&self, node: &Node, body: Bytes, within: Duration) -> Result<Bytes, LinkError> {
        Link::ask(&self.courier, &node.name, call(body, within)).await
    }
}

fn call(body: Bytes, within: Duration) -> Call {
    Call {
        kind: "echo".to_owned(),
        entity: Entity::room("!a:b"),
        errand: Errand::Query,
        body,
        within_ms: within.as_millis() as u64,
        waits: false,
    }
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + LONG;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Whether two nodes have the same connection, and both can ask over it. As long as one end only can, the other may give it up.
fn are_joined(one: &Node, other: &Node) -> bool {
    let over = |from: &Node, to: &Node| {
        let peer = from.wire.hub.peer(&to.name);
        let peer = peer.filter(|peer| peer.is_ready());
        peer.map(|peer| peer.id)
    };
    let id = over(one, other);
    id.is_some() && id == over(other, one)
}

/// Tells nodes of each other, and waits until they are connected.
async fn connect(one: &Node, other: &Node) {
    let entries = [one.entry(), other.entry()];
    for node in [one, other] {
        node.wire.living(&entries);
    }
    until("the nodes do not connect", || are_joined(one, other)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_is_answered_both_ways() {
    let (one, two) = (Node::start("one").await, Node::start("two").await);
    let alone = one.ask(&two, Bytes::from_static(b"x"), LONG).await;
    assert_eq!(alone, Err(LinkError::Unreached));
    connect(&one, &two).await;
    for (from, to) in [(&one, &two), (&two, &one)] {
        for body in [Bytes::new(), Bytes::from_static(b"small"), much()] {
            let answer = from.ask(to, body.clone(), LONG).await;
            assert!(answer == Ok(body), "something else comes back");
        }
        let answer = from.ask(to, Bytes::from_static(b"say much"), LONG).await;
        assert!(answer == Ok(much()), "something else comes back");
    }
    let heard = two.echo.heard.load(Ordering::SeqCst);
    for _ in 0..50 {
        Link::tell(&one.courier, &two.name, call(Bytes::new(), LONG));
    }
    let all = || two.echo.heard.load(Ordering::SeqCst) == heard + 50;
    until("what is told is not heard", all).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_answered_is_said_so_at_once() {
    let (one, two) = (Node::start("one").await, Node::start("two").await);
    connect(&one, &two).await;
    for body in ["say nothing", "panic"] {
        let began = Instant::now();
        let answer = one
            .ask(&two, Bytes::from_static(body.as_bytes()), LONG * 2)
            .await;
        assert!(matches!(answer, Err(LinkError::Malformed(_))), "{answer:?}");
        assert!(began.elapsed() < LONG);
    }
    let short = Duration::from_millis(50);
    let late = one.ask(&two, Bytes::from_static(b"wait"), short).await;
    assert_eq!(late, Err(LinkError::TimedOut));
    let large = Bytes::from(vec![0; WHOLE_BYTES_MAX]);
    let refused = one.ask(&two, large, LONG).await;
    assert!(matches!(refused, Err(LinkError::Malformed(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_holds_up_nobody() {
    let (one, two) = (Node::start("one").await, Node::start("two").await);
    connect(&one, &two).await;
    // More of them than there are places for calls.
    let count = 4_200;
    let waiting: Vec<_> = (0..count)
        .map(|_| {
            let wait = Call {
                waits: true,
                ..call(Bytes::from_static(b"wait"), LONG)
            };
            tokio::spawn(Link::ask(&one.courier, &two.name, wait))
        })
        .collect();
    let all = || two.echo.heard.load(Ordering::SeqCst) == count;
    until("not all of them wait", all).await;
    let body = Bytes::from_static(b"small");
    let answer = one.ask(&two, body.clone(), LONG).await;
    assert_eq!(answer, Ok(body));
    waiting.iter().for_each(JoinHandle::abort);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_panics_over_what_is_told_hears_what_follows() {
    let (one, two) = (Node::start("one").await, Node::start("two").await);
    connect(&one, &two).await;
    let told = call(Bytes::from_static(b"panic at once"), LONG);
    Link::tell(&one.courier, &two.name, told);
    let body = Bytes::from_static(b"small");
    let answer = one.ask(&two, body.clone(), LONG).await;
    assert_eq!(answer, Ok(body));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_gone_is_told_dead() {
    let (mut one, two) = (Node::start("one").await, Node::start("two").await);
    connect(&one, &two).await;
    let wait = call(Bytes::from_static(b"wait"), LONG);
    let asked = tokio::spawn(Link::ask(&one.courier, &two.name, wait));
    let heard = || two.echo.heard.load(Ordering::SeqCst) == 1;
    until("the call does not arrive", heard).await;
    // Its port closes before anybody tries it: a task that is stopped ends some time later.
    let listening = &two.wire.listening;
    listening.abort();
    until("the port stays open", || listening.is_finished()).await;
    two.wire.close();
    assert_eq!(asked.await.unwrap(), Err(LinkError::Broken));
    let dead = tokio::time::timeout(LONG, one.dead.recv()).await;
    assert_eq!(dead.unwrap(), Some(two.incarnation));
    let after = one.ask(&two, Bytes::from_static(b"x"), LONG).await;
    assert_eq!(after, Err(LinkError::Unreached));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_later_process_takes_the_place_of_an_earlier_one() {
    for (name, other) in [("a", "b"), ("b", "a")] {
        let (one, before) = (Node::start(name).await, Node::start(other).await);
        connect(&one, &before).await;
        let after = Node::start(other).await;
        let entries = [one.entry(), after.entry()];
        one.wire.living(&entries);
        after.wire.living(&entries);
        until("the later one does not connect", || {
            are_joined(&one, &after)
        })
        .await;
        let asked = one.ask(&after, Bytes::from_static(b"x"), LONG).await;
        assert!(asked.is_ok(), "{asked:?}");
        assert_eq!(after.echo.heard.load(Ordering::SeqCst), 1);
        assert_eq!(before.echo.heard.load(Ordering::SeqCst), 0);
        // The earlier one comes not back, however it tries. Until it hears that its socket has ended it asks there, in vain.
        before.wire.living(&entries);
        let deadline = Instant::now() + LONG;
        loop {
            let earlier = before.ask(&one, Bytes::from_static(b"x"), LONG).await;
            match earlier {
                Err(LinkError::Unreached) if before.wire.connected().is_empty() => break,
                Err(LinkError::Unreached | LinkError::Broken) => {}
                other => panic!("{other:?}"),
            }
            assert!(Instant::now() < deadline, "it stays connected");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(one.echo.heard.load(Ordering::SeqCst), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_not_reached_is_asked_through_another() {
    let (one, two) = (Node::start("one").await, Node::start("two").await);
    let three = Node::start("three").await;
    // One takes three for somewhere else, and three does not know of one.
    let elsewhere = NodeEntry {
        address: "127.0.0.1:9".to_owned(),
        ..three.entry()
    };
    one.wire.living(&[one.entry(), two.entry(), elsewhere]);
    two.wire.living(&[one.entry(), two.entry(), three.entry()]);
    three.wire.living(&[two.entry(), three.entry()]);
    until("the nodes do not connect", || {
        are_joined(&one, &two) && are_joined(&two, &three)
    })
    .await;
    let deadline = Instant::now() + LONG;
    while one
        .ask(&three, Bytes::from_static(b"x"), LONG)
        .await
        .is_err()
    {
        assert!(Instant::now() < deadline, "nobody helps");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(one.wire.connected(), std::slice::from_ref(&two.name));
    assert_eq!(three.echo.heard.load(Ordering::SeqCst), 1);
    let much_said = one.ask(&three, Bytes::from_static(b"say much"), LONG).await;
    assert!(much_said == Ok(much()), "something else comes back");
    let mute = one
        .ask(&three, Bytes::from_static(b"say nothing"), LONG)
        .await;
    assert!(matches!(mute, Err(LinkError::Malformed(_))), "{mute:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_another_secret_is_not_connected() {
    let one = Node::start("one").await;
    let two = Node::start_with("two", "another secret, as long").await;
    let entries = [one.entry(), two.entry()];
    one.wire.living(&entries);
    two.wire.living(&entries);
    let three = Node::start("three").await;
    let entries = [one.entry(), two.entry(), three.entry()];
    one.wire.living(&entries);
    three.wire.living(&entries);
    until("the nodes of one secret do not connect", || {
        one.wire.connected() == [three.name.clone()]
    })
    .await;
    assert!(two.wire.connected().is_empty());
}

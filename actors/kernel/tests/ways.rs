//! Calls where there are other nodes, and what can become of them on the way.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use playhouse_schema::{
    address::{Entity, Shard},
    port::LogStore,
    register::NodeName,
};
use tokio::sync::watch;

use super::counter::{Counter, CounterError, Order, Question, Signals};
use crate::{
    kernel::{
        Call, Directory, DirectoryLimits, Domain, Errand, Link, LinkError, Log, Place, Routes,
        Served, Unavailable, Ways,
        memory::{MemoryStore, env},
        parcel,
    },
    writers::{PoolLimits, Pools},
};

/// All shards are in one place.
pub(crate) struct OnePlace {
    place: Place,
    changes: watch::Sender<u64>,
    life: Mutex<Option<u64>>,
}

impl OnePlace {
    /// That one.
    pub(crate) fn new(place: Place) -> Self {
        Self {
            place,
            changes: watch::Sender::new(0),
            life: Mutex::new(Some(1)),
        }
    }

    /// Its lease has run out, or it lives anew.
    fn live(&self, life: Option<u64>) {
        *self.life.lock() = life;
    }
}

impl Routes for OnePlace {
    fn place(&self, _shard: Shard) -> Place {
        self.place.clone()
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn life(&self) -> Option<u64> {
        *self.life.lock()
    }
}

/// Says what it is told to, and then that nobody is reached.
#[derive(Default)]
pub(crate) struct Script {
    answers: Mutex<VecDeque<Result<Bytes, LinkError>>>,
    asked: AtomicUsize,
    /// Of them, questions that wait for something.
    waiting: AtomicUsize,
}

impl Link for Script {
    fn ask(&self, _node: &NodeName, call: Call) -> BoxFuture<'static, Result<Bytes, LinkError>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.waiting
            .fetch_add(usize::from(call.waits), Ordering::SeqCst);
        let answer = self.answers.lock().pop_front();
        let answer = answer.unwrap_or(Err(LinkError::Unreached));
        Box::pin(std::future::ready(answer))
    }

    fn tell(&self, _node: &NodeName, _call: Call) {}
}

struct Node {
    counters: Arc<Directory<Counter>>,
    link: Arc<Script>,
    routes: Arc<OnePlace>,
    _pools: Arc<Pools>,
}

impl Node {
    async fn new(place: Place) -> Self {
        Self::within(place, DirectoryLimits::default()).await
    }

    async fn within(place: Place, limits: DirectoryLimits) -> Self {
        let (store, link) = (MemoryStore::new(), Arc::new(Script::default()));
        let pools = Pools::open(store.clone(), env(), PoolLimits::default());
        let pools = pools.await.unwrap();
        let routes = Arc::new(OnePlace::new(place));
        let ways = Ways::Cluster {
            routes: routes.clone(),
            link: link.clone(),
        };
        let log: (Arc<dyn LogStore>, Arc<dyn Log>) = (store, pools.clone());
        let signals = Arc::new(Signals::default());
        let counters = Directory::among(ways, signals, log, limits);
        Self {
            counters: counters.await.unwrap(),
            link,
            routes,
            _pools: pools,
        }
    }

    async fn with_another() -> Self {
        Self::new(Place::There(NodeName::parse("other").unwrap())).await
    }

    fn will_answer(&self, answers: impl IntoIterator<Item = Result<Bytes, LinkError>>) {
        self.link.answers.lock().extend(answers);
    }

    async fn add(&self) -> Result<u64, CounterError> {
        self.counters.command(entity(), Order::Add(7)).await
    }

    async fn sum(&self) -> Result<u64, CounterError> {
        self.counters.query(entity(), Question::Sum).await
    }

    fn asked(&self) -> usize {
        self.link.asked.load(Ordering::SeqCst)
    }
}

fn entity() -> Entity {
    Entity::room("!a:a")
}

fn frame(sum: u64) -> Bytes {
    let answer: Result<u64, CounterError> = Ok(sum);
    let packed = parcel::pack(&answer).unwrap();
    [&[1_u8][..], &packed[..]].concat().into()
}

fn stopped() -> Result<u64, CounterError> {
    Err(CounterError::Unavailable(Unavailable::Stopped))
}

#[tokio::test]
async fn who_was_not_reached_is_asked_again() {
    let node = Node::with_another().await;
    let elsewhere = Ok(Bytes::from_static(&[2]));
    node.will_answer([Err(LinkError::Unreached), elsewhere, Ok(frame(7))]);
    assert_eq!(node.add().await, Ok(7));
    assert_eq!(node.asked(), 3);
}

#[tokio::test]
async fn only_a_query_is_asked_again_when_its_answer_is_lost() {
    let node = Node::with_another().await;
    node.will_answer([Err(LinkError::Broken)]);
    assert_eq!(node.add().await, stopped());
    assert_eq!(node.asked(), 1);
    node.will_answer([Err(LinkError::Broken), Ok(frame(7))]);
    assert_eq!(node.sum().await, Ok(7));
    assert_eq!(node.asked(), 3);
    node.will_answer([Err(LinkError::TimedOut)]);
    let late = Err(CounterError::Unavailable(Unavailable::Timeout));
    assert_eq!(node.sum().await, late);
}

#[tokio::test]
async fn what_cannot_be_read_is_no_answer() {
    let node = Node::with_another().await;
    let garbage: [&'static [u8]; 4] = [&[], &[9], &[1], &[1, 1, 0xdd, 0xff, 0xff, 0xff, 0xff]];
    for garbage in garbage {
        node.will_answer([Ok(Bytes::from_static(garbage))]);
        assert_eq!(node.add().await, stopped(), "{garbage:?}");
    }
    assert_eq!(node.asked(), garbage.len());
}

#[tokio::test]
async fn what_another_node_asks_is_answered_or_refused() {
    let call = |errand, body: Bytes| Call {
        kind: Counter::NAME.to_owned(),
        entity: entity(),
        errand,
        body,
        within_ms: 10_000,
        waits: false,
    };
    let node = Node::new(Place::Here).await;
    let order = parcel::pack(&Order::Add(7)).unwrap();
    let told = call(Errand::Command, order.clone());
    let told = node.counters.clone().serve(told).await;
    assert_eq!(told, Some(frame(7)));
    let errands = [
        Errand::Command,
        Errand::Query,
        Errand::Signal,
        Errand::SignalIfAwake,
    ];
    let garbage: [&[u8]; 4] = [&[], &[7], &[1, 0xc1], &[1, 0xdf, 0xff]];
    for errand in errands {
        for body in garbage {
            let strange = call(errand, Bytes::copy_from_slice(body));
            assert_eq!(node.counters.clone().serve(strange).await, None);
        }
    }
    let other = Node::with_another().await;
    let told = other.counters.clone().serve(call(Errand::Command, order));
    assert_eq!(told.await, Some(Bytes::from_static(&[2])));
    assert_eq!(other.counters.residents(), 0);
}

#[tokio::test]
async fn an_actor_begins_again_where_it_is() {
    let node = Node::new(Place::Here).await;
    assert_eq!(node.add().await, Ok(7));
    let call = Call {
        kind: Counter::NAME.to_owned(),
        entity: entity(),
        errand: Errand::Renew,
        body: Bytes::new(),
        within_ms: 10_000,
        waits: false,
    };
    let done = node.counters.clone().serve(call).await.unwrap();
    assert_eq!(node.sum().await, Ok(7));
    let other = Node::with_another().await;
    let elsewhere = Ok(Bytes::from_static(&[2]));
    other.will_answer([Err(LinkError::Broken), elsewhere, Ok(done)]);
    assert!(other.counters.renew(&entity()).await);
    assert_eq!(other.asked(), 3);
    // A node of an older version does not know how.
    other.will_answer([Err(LinkError::Malformed(String::new()))]);
    assert!(!other.counters.renew(&entity()).await);
    assert_eq!(other.counters.residents(), 0);
}

#[tokio::test]
async fn who_is_not_reached_is_asked_ever_more_seldom() {
    let within = Duration::from_millis(600);
    let late = Err(CounterError::Unavailable(Unavailable::Timeout));
    // A machine with much to do may not come to ask twice: then it is tried again.
    for _ in 0..50 {
        let node = Node::with_another().await;
        let sum = node.counters.query_within(entity(), Question::Sum, within);
        assert_eq!(sum.await, late);
        assert!(node.asked() < 10, "{}", node.asked());
        if node.asked() >= 2 {
            return;
        }
    }
    panic!("it is never asked again");
}

#[tokio::test]
async fn no_more_than_the_limit_wait_for_a_place() {
    let limits = DirectoryLimits {
        calls_max: 1,
        ..DirectoryLimits::default()
    };
    let node = Node::within(Place::Nowhere, limits).await;
    let full = Err(CounterError::Unavailable(Unavailable::Overloaded));
    tokio::select! {
        biased;
        sum = node.sum() => panic!("it is nowhere: {sum:?}"),
        second = node.sum() => assert_eq!(second, full),
    }
    // Who gave up waits no more.
    let within = Duration::from_millis(1);
    let late = node.counters.query_within(entity(), Question::Sum, within);
    let timeout = Err(CounterError::Unavailable(Unavailable::Timeout));
    assert_eq!(late.await, timeout);
}

#[tokio::test]
async fn a_node_that_ends_lets_nobody_wait() {
    let node = Node::new(Place::Here).await;
    node.counters.close(Duration::from_secs(5)).await;
    let told = tokio::time::timeout(Duration::from_secs(120), node.add()).await;
    assert_eq!(told.expect("an answer at once"), stopped());
}

#[tokio::test]
async fn what_writes_nothing_is_answered_under_a_lease_only() {
    let node = Node::new(Place::Here).await;
    let tell = |order| node.counters.command(entity(), order);
    assert_eq!(tell(Order::Add(7)).await, Ok(7));
    assert_eq!(tell(Order::Nothing).await, Ok(7));
    assert_eq!(tell(Order::Refuse).await, Err(CounterError::Refused));
    for life in [None, Some(2)] {
        node.routes.live(life);
        assert_eq!(tell(Order::Nothing).await, stopped());
        assert_eq!(tell(Order::Refuse).await, stopped());
    }
    // What writes is judged by the log.
    assert_eq!(tell(Order::Add(1)).await, Ok(8));
    node.routes.live(Some(1));
    assert_eq!(tell(Order::Nothing).await, Ok(8));
}

#[tokio::test]
async fn who_waits_for_something_says_so() {
    let node = Node::with_another().await;
    node.will_answer([Ok(frame(7)), Ok(frame(7))]);
    assert_eq!(node.sum().await, Ok(7));
    let waiting = || node.link.waiting.load(Ordering::SeqCst);
    assert_eq!(waiting(), 0);
    let long = Duration::from_secs(60);
    let sum = node.counters.query_within(entity(), Question::Sum, long);
    assert_eq!(sum.await, Ok(7));
    assert_eq!(waiting(), 1);
}

//! A node whose lease ends while shards are on their way, and one that cannot take what is wanted of it.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use playhouse_schema::{
    address::{Family, Layout, Shard},
    register::{Beat, Claim, Handed, Incarnation, NodeEntry, NodeName, Register, Standing},
};
use tokio::sync::watch;
use uuid::Uuid;

use crate::{
    cluster::{Bell, Facts, Herald, Map, Tenants, Ward, WardSettings},
    kernel::memory::MemoryRegister,
};

const LAYOUT: Layout = Layout { shards: 8, era: 0 };

/// So many shards there are.
const ALL: usize = 8 * Family::ALL.len();

/// Tenants that end when they may.
struct Lodgers {
    ending: Mutex<BTreeSet<Shard>>,
    may_end: watch::Sender<bool>,
    refuses: bool,
    begun: AtomicUsize,
    begun_too_early: AtomicUsize,
    /// The log refuses this shard when it is looked for the first time: it is just being taken anew.
    lost_once: Mutex<Option<Shard>>,
    abandoned: AtomicUsize,
}

impl Tenants for Lodgers {
    fn begin<'a>(&'a self, claims: &'a [Claim]) -> BoxFuture<'a, Vec<Shard>> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        let shards: Vec<_> = claims.iter().map(|claim| claim.shard).collect();
        let ending = self.ending.lock();
        let too_early = shards.iter().filter(|shard| ending.contains(*shard));
        self.begun_too_early
            .fetch_add(too_early.count(), Ordering::SeqCst);
        let refused = if self.refuses { shards } else { Vec::new() };
        Box::pin(std::future::ready(refused))
    }

    fn end(&self, shard: Shard) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.ending.lock().insert(shard);
            let mut may_end = self.may_end.subscribe();
            let _ = may_end.wait_for(|may| *may).await;
            self.ending.lock().remove(&shard);
        })
    }

    fn abandon(&self, _shard: Shard) -> BoxFuture<'_, ()> {
        self.abandoned.fetch_add(1, Ordering::SeqCst);
        Box::pin(std::future::ready(()))
    }

    fn lost(&self) -> Vec<Shard> {
        self.lost_once.lock().take().into_iter().collect()
    }

    fn facts(&self) -> Facts {
        Facts::default()
    }
}

/// Tells nobody.
struct Silent;

impl Herald for Silent {
    fn serving(&self, _shards: &[(Shard, u64)]) {}

    fn look(&self, _node: &NodeName) {}

    fn hand(&self, _node: &NodeName, _handed: Handed) {}

    fn living(&self, _nodes: &[NodeEntry]) {}
}

struct Node {
    register: Arc<MemoryRegister>,
    map: Arc<Map>,
    lodgers: Arc<Lodgers>,
    ward: Arc<Ward>,
    bell: Arc<Bell>,
    _stop: watch::Sender<bool>,
}

fn roles() -> Vec<String> {
    Family::ALL.map(|family| family.name().to_owned()).into()
}

fn name(text: &str) -> NodeName {
    NodeName::parse(text).unwrap()
}

async fn node(refuses: bool, times: (Duration, Duration)) -> Node {
    node_of(Arc::new(MemoryRegister::new(LAYOUT)), refuses, times).await
}

async fn node_of(
    register: Arc<MemoryRegister>,
    refuses: bool,
    (lease, beat): (Duration, Duration),
) -> Node {
    let map = Arc::new(Map::new(name("one")));
    let lodgers = Arc::new(Lodgers {
        ending: Mutex::default(),
        may_end: watch::Sender::new(false),
        refuses,
        begun: AtomicUsize::new(0),
        begun_too_early: AtomicUsize::new(0),
        lost_once: Mutex::default(),
        abandoned: AtomicUsize::new(0),
    });
    let settings = WardSettings {
        name: name("one"),
        address: "one:1".to_owned(),
        roles: roles(),
        lease,
        beat,
    };
    let bell = Arc::<Bell>::default();
    let place = (
        lodgers.clone() as Arc<dyn Tenants>,
        Arc::new(Silent) as Arc<dyn Herald>,
        bell.clone(),
    );
    let ward = Ward::join(register.clone(), map.clone(), place, settings);
    let ward = ward.await.unwrap();
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(ward.clone().run(stopped));
    Node {
        register,
        map,
        lodgers,
        ward,
        bell,
        _stop: stop,
    }
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn other() -> Beat {
    Beat {
        name: name("two"),
        incarnation: Uuid::from_u128(2),
        address: "two:1".to_owned(),
        roles: roles(),
        standing: Standing::Serving,
        facts: "{}".to_owned(),
        lease_ms: 600_000,
    }
}

/// A node that gives half of its shards to another, and the life in which it does.
async fn one_that_gives_away(times: (Duration, Duration)) -> (Node, Incarnation) {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let one = node(false, times).await;
        until("all is served", || one.map.served().len() == ALL).await;
        let before = one.ward.incarnation();
        one.register.join(&other()).await.unwrap();
        let is_ending = || !one.lodgers.ending.lock().is_empty();
        let lives_anew = || one.ward.incarnation() != before;
        until("shards go", || is_ending() || lives_anew()).await;
        if is_ending() {
            return (one, before);
        }
        // The machine has stalled for longer than the lease.
        assert!(Instant::now() < deadline, "it always loses its lease");
    }
}

/// Waits until the other node holds a shard; the term under which it does.
async fn given_to_the_other(one: &Node, shard: Shard) -> u64 {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let view = one.register.view().await.unwrap();
        let entry = view.shards.iter().find(|entry| entry.shard == shard);
        let entry = entry.expect("the shard");
        if entry.holder == Some(other().incarnation) {
            return entry.term;
        }
        assert!(Instant::now() < deadline, "it is kept");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn what_still_ends_begins_in_no_later_life() {
    let times = (Duration::from_secs(1), Duration::from_millis(20));
    let (one, before) = one_that_gives_away(times).await;
    one.register.leave(other().incarnation).await.unwrap();
    one.register.leave(before).await.unwrap();
    until("there is a new life", || one.ward.incarnation() != before).await;
    // After a lease, or two, everything is wanted here again.
    let is_wanted = || {
        let view = one.ward.view().borrow().clone();
        let mut shards = view.shards.iter();
        shards.all(|entry| entry.wanted == Some(name("one")))
    };
    until("all is wanted here", is_wanted).await;
    let mut view = one.ward.view();
    for _ in 0..3 {
        view.borrow_and_update();
        view.changed().await.unwrap();
    }
    until("what did not move is served", || {
        one.map.served().len() == ALL / 2
    })
    .await;
    one.lodgers.may_end.send_replace(true);
    until("all is served again", || one.map.served().len() == ALL).await;
    assert_eq!(one.lodgers.begun_too_early.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn what_is_refused_is_tried_again_with_the_next_beat() {
    let times = (Duration::from_secs(120), Duration::from_secs(60));
    let one = node(true, times).await;
    let begun = || one.lodgers.begun.load(Ordering::SeqCst);
    until("it is tried", || begun() >= 1).await;
    one.ward.ring();
    until("it is tried again", || begun() >= 2).await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(begun(), 2);
    assert!(one.map.served().is_empty());
}

#[tokio::test]
async fn what_cannot_be_taken_is_told() {
    let times = (Duration::from_secs(60), Duration::from_millis(20));
    let one = node(true, times).await;
    let unheld = || {
        let view = one.ward.view().borrow().clone();
        Facts::read(&view.nodes[0].facts).unheld.len()
    };
    until("it is told", || unheld() == ALL).await;
}

#[tokio::test]
async fn a_beat_that_is_not_answered_is_said_again() {
    let times = (Duration::from_secs(18), Duration::from_millis(20));
    let one = node(false, times).await;
    until("all is served", || one.map.served().len() == ALL).await;
    let before = one.ward.incarnation();
    one.register.be_silent(1);
    until("a beat is lost", || one.register.silent() == 0).await;
    let mut view = one.ward.view();
    for _ in 0..2 {
        view.borrow_and_update();
        view.changed().await.unwrap();
        assert!(one.map.is_valid());
    }
    assert_eq!(one.ward.incarnation(), before);
    assert_eq!(one.map.served().len(), ALL);
}

#[tokio::test]
async fn who_hears_less_looks_more_often() {
    let (lease, beat) = (Duration::from_secs(60), Duration::from_secs(10));
    let one = node(false, (lease, beat)).await;
    assert_eq!(one.ward.pause(), beat);
    one.ward.hearing_less(true);
    assert!(one.ward.pause() < Duration::from_secs(1));
    one.ward.hearing_less(false);
    assert_eq!(one.ward.pause(), beat);
}

#[tokio::test]
async fn a_burial_that_is_not_answered_keeps_nobody() {
    let one = node(false, (Duration::from_secs(3), Duration::from_millis(20))).await;
    one.register.be_mute();
    let buried = one.ward.bury(Uuid::from_u128(2));
    let buried = tokio::time::timeout(Duration::from_secs(120), buried).await;
    assert!(buried.expect("it ends").is_err());
}

#[tokio::test]
async fn what_is_not_held_any_more_is_not_served_and_claimed_again() {
    let times = (Duration::from_secs(60), Duration::from_millis(20));
    let one = node(false, times).await;
    until("all is served", || one.map.served().len() == ALL).await;
    let (life, shard) = (one.ward.incarnation(), one.map.served()[0]);
    let known = one.register.view().await.unwrap();
    let known = known.shards.iter().find(|entry| entry.shard == shard);
    let term = known.expect("the shard").term;
    let claim = Claim::new(shard, term);
    one.register.release(life, &[claim]).await.unwrap();
    let is_claimed = || {
        let view = one.ward.view().borrow().clone();
        let mut shards = view.shards.iter();
        shards.any(|entry| entry.shard == shard && entry.holder == Some(life) && entry.term > term)
    };
    until("it is claimed again", is_claimed).await;
    until("it is served again", || one.map.serves(shard)).await;
    assert_eq!(one.ward.incarnation(), life);
}

#[tokio::test]
async fn what_was_given_back_before_it_was_claimed_again_is_kept() {
    let times = (Duration::from_secs(60), Duration::from_secs(60));
    let one = node(false, times).await;
    until("all is served", || one.map.served().len() == ALL).await;
    let (life, shard) = (one.ward.incarnation(), one.map.served()[0]);
    let claims = one.register.claim(life, &[shard]).await.unwrap();
    // Said long ago, before the shard was claimed, and done only now.
    let before = Claim::new(shard, claims[0].term() - 1);
    one.register.release(life, &[before]).await.unwrap();
    let view = one.register.view().await.unwrap();
    let mut shards = view.shards.iter();
    assert!(shards.any(|entry| entry.shard == shard && entry.holder == Some(life)));
}

#[tokio::test]
async fn what_is_taken_anew_meanwhile_is_not_abandoned() {
    let times = (Duration::from_secs(60), Duration::from_millis(20));
    let one = node(false, times).await;
    until("all is served", || one.map.served().len() == ALL).await;
    *one.lodgers.lost_once.lock() = Some(one.map.served()[0]);
    until("it is looked", || one.lodgers.lost_once.lock().is_none()).await;
    let mut view = one.ward.view();
    for _ in 0..2 {
        view.borrow_and_update();
        view.changed().await.unwrap();
    }
    assert_eq!(one.lodgers.abandoned.load(Ordering::SeqCst), 0);
    assert_eq!(one.map.served().len(), ALL);
}

#[tokio::test]
async fn what_is_held_and_not_served_is_given_away() {
    let times = (Duration::from_secs(60), Duration::from_millis(20));
    let (one, life) = one_that_gives_away(times).await;
    one.lodgers.may_end.send_replace(true);
    until("half is given away", || one.map.served().len() == ALL / 2).await;
    let view = one.register.view().await.unwrap();
    let wanted = view
        .shards
        .iter()
        .find(|entry| entry.wanted == Some(name("two")));
    let shard = wanted.expect("something is wanted there").shard;
    let term = given_to_the_other(&one, shard).await;
    // The other gives it back, and a claim that was given up waiting for is carried out late.
    let held = [Claim::new(shard, term)];
    let other = other().incarnation;
    one.register.release(other, &held).await.unwrap();
    let claims = one.register.claim(life, &[shard]).await.unwrap();
    assert_eq!(claims.len(), 1);
    assert!(given_to_the_other(&one, shard).await > claims[0].term());
    assert!(!one.map.serves(shard));
}

#[tokio::test]
async fn nobody_joins_beside_one_that_is_alone() {
    let register = MemoryRegister::new(LAYOUT);
    let beat = Beat {
        name: name("one"),
        incarnation: Uuid::from_u128(1),
        address: "one:1".to_owned(),
        roles: roles(),
        standing: Standing::Serving,
        facts: "{}".to_owned(),
        lease_ms: 60_000,
    };
    let living = register.stand_alone("somebody", 60_000).await.unwrap();
    assert_eq!(living, []);
    let refused = register.join(&beat).await.unwrap_err().to_string();
    assert!(refused.contains("somebody"), "{refused}");
    register.stand_alone("somebody", 0).await.unwrap();
    register.join(&beat).await.unwrap();
    let living = register.stand_alone("somebody", 60_000).await.unwrap();
    assert_eq!(living, [name("one")]);
}

#[tokio::test]
async fn what_is_handed_over_is_served_without_a_beat() {
    let register = Arc::new(MemoryRegister::new(LAYOUT));
    // The other one lived first, whatever the clock says, and says nothing of where shards shall go.
    let first = Beat {
        name: name("a"),
        ..other()
    };
    register.join(&first).await.unwrap();
    let [shard, second] = [0, 1].map(|number| Shard {
        family: Family::Rooms,
        number,
    });
    let both = [shard, second];
    let claims = register.claim(first.incarnation, &both);
    let claims = claims.await.unwrap();
    let times = (Duration::from_secs(120), Duration::from_secs(60));
    let one = node_of(register.clone(), false, times).await;
    let wishes = both.map(|shard| (shard, Some(name("one"))));
    register.want(&wishes).await.unwrap();
    let to = name("one");
    let handed = register.hand_over(first.incarnation, claims[0], &to);
    let handed = handed.await.unwrap().expect("it is given");
    assert_eq!(handed.life, one.ward.incarnation());
    one.bell.hand(handed);
    until("it is served", || one.map.serves(shard)).await;
    // Of another life, a second time, and late: none of them is begun. After them comes one that is.
    let life = Uuid::from_u128(9);
    one.bell.hand(Handed { life, ..handed });
    one.bell.hand(handed);
    let term = handed.term - 1;
    one.bell.hand(Handed { term, ..handed });
    let handed = register.hand_over(first.incarnation, claims[1], &to);
    one.bell.hand(handed.await.unwrap().expect("it is given"));
    until("the second one is served", || one.map.serves(second)).await;
    assert_eq!(one.lodgers.begun.load(Ordering::SeqCst), 2);
}

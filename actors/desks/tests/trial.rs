//! Desks that are asked as others ask them.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{locks::lock, value, wish};
use crate::{
    desks::{
        Desk, DeskAnswer, DeskKind, DeskQuery, DeskSignal, Key, LockWish, Locked, OnDesk, Put,
    },
    env::Env,
    kernel::{
        Directory, DirectoryLimits, Domain as _,
        memory::{MemoryStore, env},
    },
    writers::{PoolLimits, Pools},
};

struct Trial {
    desks: Arc<Directory<Desk>>,
    _pools: Arc<Pools>,
    env: Env,
}

impl Trial {
    /// Desks that sleep as soon as nobody calls them.
    async fn new() -> Self {
        let (store, env) = (MemoryStore::new(), env());
        let pools = Pools::open(store.clone(), env.clone(), PoolLimits::default());
        let pools = pools.await.unwrap();
        let limits = DirectoryLimits {
            idle_ms: 0,
            sweep_every_ms: 1,
            ..DirectoryLimits::default()
        };
        let context = Arc::new(env.clone());
        let desks = Directory::new(context, store, pools.clone(), limits).await;
        Self {
            desks: desks.unwrap(),
            _pools: pools,
            env,
        }
    }

    async fn ask(&self, kind: DeskKind, name: &str, query: DeskQuery) -> DeskAnswer {
        let entity = kind.entity(Key::of(name));
        self.desks.query(entity, query).await.unwrap()
    }
}

#[tokio::test]
async fn a_desk_stays_awake_as_long_as_something_lies_on_it() {
    let trial = Trial::new().await;
    let until_ms = trial.env.now_ms() + 600_000;
    let put = DeskQuery::Put(wish("a", until_ms, "1"));
    let answer = trial.ask(DeskKind::Uia, "a", put).await;
    assert_eq!(answer, DeskAnswer::Put(Put::Done));
    // Another desk, on which nothing lies, is put to sleep meanwhile.
    let nothing = DeskQuery::Get(Key::of("b"));
    let answer = trial.ask(DeskKind::Repeats, "b", nothing).await;
    assert_eq!(answer, DeskAnswer::Thing(None));
    let deadline = Instant::now() + Duration::from_secs(120);
    while trial.desks.residents() > 1 && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(trial.desks.residents(), 1);
    let get = DeskQuery::Get(Key::of("a"));
    let DeskAnswer::Thing(Some(thing)) = trial.ask(DeskKind::Uia, "a", get).await else {
        panic!("it is gone");
    };
    assert_eq!(thing.value, value("a"));
}

#[tokio::test]
async fn who_waits_is_answered_in_turn_and_in_time() {
    let trial = Arc::new(Trial::new().await);
    let wish = |holder: &str, wait_ms| LockWish {
        lease_ms: 600_000,
        wait_ms,
        ..lock(holder)
    };
    let first = DeskQuery::Lock(wish("a", 0));
    let answer = trial.ask(DeskKind::Turns, "lock", first).await;
    assert_eq!(answer, DeskAnswer::Lock(Locked::Granted));
    // A timer tells who has waited long enough.
    let short = DeskQuery::Lock(wish("b", 20));
    let answer = trial.ask(DeskKind::Turns, "lock", short).await;
    assert_eq!(answer, DeskAnswer::Lock(Locked::Waiting));
    let long = DeskQuery::Lock(wish("b", 20_000));
    let other = trial.clone();
    let waiting = tokio::spawn(async move { other.ask(DeskKind::Turns, "lock", long).await });
    let unlock = |holder: &str| DeskQuery::Unlock {
        key: Key::of("lock"),
        holder: holder.to_owned(),
    };
    for _ in 0..2 {
        let answer = trial.ask(DeskKind::Turns, "lock", unlock("a")).await;
        assert_eq!(answer, DeskAnswer::Unlocked);
    }
    let granted = waiting.await.unwrap();
    assert_eq!(granted, DeskAnswer::Lock(Locked::Granted));
    // What was given back is not asked for any more, whatever arrives late.
    let late = DeskQuery::Lock(wish("a", 0));
    let answer = trial.ask(DeskKind::Turns, "lock", late).await;
    assert_eq!(answer, DeskAnswer::Lock(Locked::Over));
}

#[tokio::test]
async fn an_abandoned_desk_is_cleared() {
    let trial = Trial::new().await;
    let until_ms = trial.env.now_ms() + 30;
    let put = DeskQuery::Put(wish("a", until_ms, "1"));
    trial.ask(DeskKind::Uia, "a", put).await;
    let desk = DeskKind::Uia.entity(Key::of("a"));
    // A stray timer does no harm.
    trial.desks.signal(&desk, DeskSignal::Alarm(7));
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let get = DeskQuery::Get(Key::of("a"));
        let answer = trial.ask(DeskKind::Uia, "a", get).await;
        if answer == DeskAnswer::Thing(None) {
            break;
        }
        assert!(Instant::now() < deadline, "it lies there still");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(!Desk::is_busy(&OnDesk::default()));
}

//! Desks as the edges ask them, where there are other nodes.

use std::{sync::Arc, time::Duration};

use playhouse_schema::port::LogStore;

use crate::{
    desks::{Changed, DeskKind, Put, Terms, rates::Rate},
    house::{Desks, HouseError, Places},
    kernel::{
        Directory, DirectoryLimits, Log, Place, Ways,
        memory::{MemoryStore, env},
        tests::ways::{OnePlace, Script},
    },
    writers::{PoolLimits, Pools},
};

struct Trial {
    desks: Desks,
    _pools: Arc<Pools>,
}

impl Trial {
    async fn new(ways: Ways) -> Self {
        let (store, env) = (MemoryStore::new(), env());
        let pools = Pools::open(store.clone(), env.clone(), PoolLimits::default());
        let pools = pools.await.unwrap();
        let (context, limits) = (Arc::new(env.clone()), DirectoryLimits::default());
        let log: (Arc<dyn LogStore>, Arc<dyn Log>) = (store, pools.clone());
        let actors = Directory::among(ways, context, log, limits).await;
        Self {
            desks: Desks::new(actors.unwrap(), &env),
            _pools: pools,
        }
    }

    /// All shards are served here, and yet there are other nodes.
    async fn among_others() -> Self {
        let ways = Ways::Cluster {
            routes: Arc::new(OnePlace::new(Place::Here)),
            link: Arc::new(Script::default()),
        };
        Self::new(ways).await
    }
}

fn soon() -> u64 {
    env().now_ms() + 600_000
}

#[tokio::test]
async fn what_is_put_there_is_found_changed_and_taken_once() {
    let Trial { desks, _pools } = Trial::among_others().await;
    let place = (DeskKind::Uia, "session");
    let first = vec!["one".to_owned()];
    let put = desks.put(place, (&first, soon()), Terms::default());
    let (put, token) = put.await.unwrap();
    assert_eq!(put, Put::Done);
    let found = desks.get::<Vec<String>>(place.0, place.1).await.unwrap();
    let found = found.expect("it lies there");
    assert_eq!((found.value, &found.token), (first, &token));
    let second = vec!["two".to_owned()];
    let changed = desks.change(place, &token, &second).await.unwrap();
    assert_eq!(changed.0, Changed::Done);
    let again = desks.change(place, &token, &second).await.unwrap();
    assert_eq!(again.0, Changed::Overtaken);
    // What is of another kind is as good as gone.
    let strange = desks.get::<u64>(place.0, place.1).await.unwrap();
    assert_eq!(strange, None);
    let (one, two) = tokio::join!(
        desks.take::<Vec<String>>(place.0, place.1),
        desks.take::<Vec<String>>(place.0, place.1)
    );
    let mut taken = [one.unwrap(), two.unwrap()];
    taken.sort();
    assert_eq!(taken, [None, Some(second)]);
}

#[tokio::test]
async fn what_is_used_is_used_once() {
    let Trial { desks, _pools } = Trial::among_others().await;
    desks.attend((DeskKind::Used, ""), soon()).await.unwrap();
    let now_ms = env().now_ms();
    let note = async |name: &str, begun_ms| {
        let terms = Terms {
            only_new: true,
            never_evicts: true,
            begun_ms: Some(begun_ms),
            ..Terms::default()
        };
        let place = (DeskKind::Used, name);
        desks.put(place, (&(), soon()), terms).await.unwrap().0
    };
    assert_eq!(note("a", now_ms).await, Put::Done);
    assert_eq!(note("a", now_ms).await, Put::Taken);
    assert_eq!(note("b", now_ms - 60_000).await, Put::Forgotten);
}

#[tokio::test]
async fn a_lock_is_given_back_when_it_is_dropped() {
    let Trial { desks, _pools } = Trial::among_others().await;
    let held = desks.lock("name", Places::ONE).await.unwrap();
    // Who does not wait any more does not hold up the others.
    let waiting = desks.lock("name", Places::ONE);
    let waiting = tokio::time::timeout(Duration::from_millis(20), waiting).await;
    assert!(waiting.is_err());
    let other = desks.clone();
    let next = tokio::spawn(async move { other.lock("name", Places::ONE).await.is_ok() });
    let line_full = Places {
        line_max: 0,
        ..Places::ONE
    };
    let refused = desks.lock("name", line_full).await;
    assert_eq!(refused.err(), Some(HouseError::Busy));
    assert!(!next.is_finished());
    drop(held);
    let next = tokio::time::timeout(Duration::from_secs(120), next).await;
    assert!(next.expect("in time").unwrap());
    let again = desks.lock("name", Places::ONE);
    let again = tokio::time::timeout(Duration::from_secs(120), again).await;
    assert!(again.expect("in time").is_ok());
}

#[tokio::test]
async fn who_is_alone_needs_no_lock_of_a_desk() {
    let Trial { desks, _pools } = Trial::new(Ways::Alone).await;
    assert!(desks.is_alone());
    let _one = desks.lock("name", Places::ONE).await.unwrap();
    let _two = desks.lock("name", Places::ONE).await.unwrap();
    let rate = Rate {
        per_second: 0.001,
        burst: 1,
    };
    assert_eq!(desks.count("name", rate).await, Ok(None));
    assert!(matches!(desks.count("name", rate).await, Ok(Some(_))));
    assert_eq!(desks.count("other", rate).await, Ok(None));
}

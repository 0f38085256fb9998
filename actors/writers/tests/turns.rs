//! Shards that go, and come again.

use std::time::Duration;

use futures_util::future::join3;
use playhouse_schema::{
    address::{Family, Shard},
    register::Claim,
};

use super::{Author, House, PoolLimits, Pools, outcome};
use crate::kernel::memory::{MemoryStore, env};

#[tokio::test]
async fn what_comes_again_waits_until_it_has_gone() {
    let store = MemoryStore::with(1, 1);
    let limits = (PoolLimits::default(), false);
    let pools = Pools::open_among(store.clone(), env(), limits).await;
    let pools = pools.unwrap();
    let house = House { store, pools };
    let shard = Shard {
        family: Family::Rooms,
        number: 0,
    };
    let terms = [1, 2].map(|term| Claim::new(shard, term));
    assert!(house.pools.take(&terms[..1]).await.is_empty());
    house.store.hold();
    let mut author = Author::new("!0:a");
    let first = author.append(&house, 1);
    house.store.wait_begun(1).await;
    // It waits in the queue, of the time before.
    let second = author.append(&house, 1);
    let turns = join3(
        house.pools.let_go(shard),
        house.pools.take(&terms[1..]),
        async { house.store.release() },
    );
    let turns = tokio::time::timeout(Duration::from_secs(20), turns).await;
    let (gone, refused, ()) = turns.expect("they have their turn");
    assert!(gone.is_ok() && refused.is_empty());
    outcome(first).await.unwrap();
    outcome(second).await.unwrap();
    assert!(!house.pools.fenced_shards().contains(&shard));
    outcome(author.append(&house, 1)).await.unwrap();
    let records = house.store.records_of(&author.entity);
    let epochs: Vec<_> = records.iter().map(|record| record.epoch).collect();
    let [before, since] = terms.map(|term| term.epoch);
    assert_eq!(epochs, [before, before, since]);
}

//! Shards that come and go while appends are under way.

use futures_util::FutureExt as _;
use playhouse_schema::{port::Head, register::Claim};

use super::*;

#[tokio::test]
async fn what_is_taken_again_is_let_go_before() {
    let house = house(1, 1).await;
    let (mut first, mut second) = (Author::new("!a:a"), Author::new("!b:a"));
    let shard = house.store.layout().shard_of(&first.entity);
    let claims = [Claim::new(shard, 1)];
    house.store.hold();
    let under_way = first.append(&house, 1);
    house.store.wait_begun(1).await;
    let waiting = second.append(&house, 1);
    // Nobody waits for the writer to let go: it hears of the claim before it has.
    let (gone, refused, ()) = tokio::join!(
        house.pools.let_go(shard),
        house.pools.take(&claims),
        async {
            house.store.release();
        }
    );
    gone.unwrap();
    assert!(refused.is_empty(), "{refused:?}");
    outcome(under_way).await.unwrap();
    outcome(waiting).await.unwrap();
    // What was handed in before is of the life before.
    assert_eq!(house.store.records_of(&second.entity)[0].epoch, 1);
    assert!(house.pools.fenced_shards().is_empty());
    outcome(second.append(&house, 1)).await.unwrap();
    let written = house.store.records_of(&second.entity);
    assert_eq!(written[1].epoch, claims[0].epoch);
}

#[tokio::test]
async fn what_nobody_waits_for_is_not_taken() {
    let house = house(1, 1).await;
    let mut author = Author::new("!a:a");
    let shard = house.store.layout().shard_of(&author.entity);
    house.store.hold();
    let under_way = author.append(&house, 1);
    house.store.wait_begun(1).await;
    for term in 1..=3 {
        let claims = [Claim::new(shard, term)];
        // Whoever asked has gone when the writer comes to it.
        assert!(house.pools.take(&claims).now_or_never().is_none());
    }
    house.store.release();
    outcome(under_way).await.unwrap();
    outcome(author.append(&house, 1)).await.unwrap();
    let written = house.store.records_of(&author.entity);
    assert_eq!(written[1].epoch, written[0].epoch);
}

#[tokio::test]
async fn what_may_have_landed_is_not_written_again() {
    let house = house(2, 1).await;
    let layout = house.store.layout();
    let mut first = Author::new("!0:a");
    let mut others = (1..50).map(|number| Author::new(&format!("!{number}:a")));
    let shard = |author: &Author| layout.shard_of(&author.entity);
    let other = others.find(|other| shard(other) != shard(&first));
    let mut second = other.unwrap();
    house.store.hold();
    let mut before = Author::new("!before:a");
    let before = before.append(&house, 1);
    house.store.wait_begun(1).await;
    let both = [first.append(&house, 1), second.append(&house, 1)];
    house.store.let_one_through();
    outcome(before).await.unwrap();
    house.store.wait_begun(2).await;
    house
        .store
        .fault(Fault::DoubtCommitted { settle_failures: 0 });
    house
        .store
        .lose_at_settling([shard(&first), shard(&second)]);
    house.store.release();
    for lost in both {
        assert_eq!(outcome(lost).await.unwrap_err(), AppendError::Fenced);
    }
    assert_eq!(house.store.appends_begun(), 2);
    assert_eq!(house.store.records_of(&second.entity).len(), 1);
}

#[tokio::test]
async fn heads_that_are_a_lie_break_nothing() {
    let house = house(2, 1).await;
    let heads = [0, 1].map(|number| Head {
        shard: Shard {
            family: Family::Rooms,
            number,
        },
        position: Position::MAX,
        chain: [0; 32],
        epoch: 1,
    });
    let tail = house.pools.tail();
    tail.publish(Family::Rooms, Arc::default(), &heads);
    assert_eq!(tail.head(heads[1].shard), Position::MAX);
}

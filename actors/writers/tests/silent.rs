//! Shards that do not tell how far they are, or are slow to tell what they have.

use std::{ops::Range, sync::Arc, time::Duration};

use playhouse_schema::{address::Family, port::LogStore as _};

use super::{Author, House, assert_dense, house, outcome, read};
use crate::writers::Tail;

/// A record of each of some rooms. How many of them each of the two shards has got.
async fn write(house: &House, numbers: Range<usize>) -> [usize; 2] {
    let mut told = [0, 0];
    for number in numbers {
        let mut author = Author::new(&format!("!{number}:test.example"));
        let shard = house.store.layout().shard_of(&author.entity).number;
        told[usize::from(shard)] += 1;
        assert!(outcome(author.append(house, 1)).await.is_ok());
    }
    assert!(told.iter().all(|records| *records > 0), "{told:?}");
    told
}

#[tokio::test]
async fn a_silent_shard_keeps_nobody_from_reading_the_others() {
    let house = house(2, 1).await;
    let told = write(&house, 0..20).await;
    house.store.silence(Some(0));
    // One to which nobody has published anything.
    let tail = Arc::new(Tail::new(house.store.clone()));
    assert!(tail.catch_up(Family::Users).await.is_err());
    let mut reader = tail.follow(Family::Rooms, &[]);
    let first = read(&mut reader, told[1]).await;
    assert!(first.iter().all(|record| record.shard.number == 1));
    house.store.silence(None);
    let rest = read(&mut reader, told[0]).await;
    assert!(rest.iter().all(|record| record.shard.number == 0));
}

#[tokio::test]
async fn a_shard_that_falls_silent_is_read_later() {
    let house = house(2, 1).await;
    let before = write(&house, 0..20).await;
    // The one that is aimed at first.
    house.store.silence(Some(1));
    let mut reader = house.pools.tail().follow(Family::Rooms, &[]);
    let mut seen = read(&mut reader, before[0]).await;
    assert!(seen.iter().all(|record| record.shard.number == 0));
    // What comes of it meanwhile leaves a gap.
    let meanwhile = write(&house, 20..40).await;
    seen.extend(read(&mut reader, meanwhile[0]).await);
    assert!(seen.iter().all(|record| record.shard.number == 0));
    house.store.silence(None);
    seen.extend(read(&mut reader, before[1] + meanwhile[1]).await);
    assert_dense(&seen, 2);
}

#[tokio::test]
async fn who_is_given_up_again_and_again_gets_there() {
    let house = house(2, 1).await;
    let told = write(&house, 0..20).await;
    let reads = house.store.shard_reads();
    house.store.read_slowly(Duration::from_millis(50));
    let mut reader = house.pools.tail().follow(Family::Rooms, &[]);
    let mut seen = Vec::new();
    let read = async {
        while seen.len() < told[0] + told[1] {
            // It never has the time that an answer takes.
            let next = tokio::time::timeout(Duration::from_millis(2), reader.next()).await;
            seen.extend(next.unwrap_or_default());
        }
    };
    let read = tokio::time::timeout(Duration::from_secs(120), read).await;
    assert!(read.is_ok(), "it never gets there");
    assert_dense(&seen, 2);
    // Not asked anew each time: once for each shard, and aside where the machine stalls.
    assert!(house.store.shard_reads() <= reads + 6);
}

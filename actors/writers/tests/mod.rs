mod silent;
mod slices;
mod turns;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use playhouse_schema::{
    address::{Entity, Family, Position, Sequence, Shard},
    port::{Erasure, LogStore, NewRecord, StoredRecord},
};
use tokio::sync::oneshot;

use super::{PoolLimits, Pools, TailReader};
use crate::{
    env::Clock,
    kernel::{
        append::{Append, AppendError, Landing, Lineage, Log},
        memory::{Fault, MemoryStore, env},
    },
};

type Outcome = Result<Landing, AppendError>;

/// An entity that appends without any actor.
struct Author {
    entity: Entity,
    sequence: Sequence,
    lineage: Lineage,
}

impl Author {
    fn new(name: &str) -> Self {
        Self {
            entity: Entity::room(name),
            sequence: 0,
            lineage: Lineage::default(),
        }
    }

    fn record(&mut self) -> NewRecord {
        self.sequence += 1;
        NewRecord {
            entity: self.entity.clone(),
            sequence: self.sequence,
            kind: 1,
            key: None,
            payload: Bytes::from(self.sequence.to_string()),
        }
    }

    fn append(&mut self, house: &House, records: usize) -> oneshot::Receiver<Outcome> {
        let records = (0..records).map(|_| self.record()).collect();
        self.send(house, records, Vec::new())
    }

    fn erase(&mut self, house: &House, target: Sequence) -> oneshot::Receiver<Outcome> {
        self.sequence += 1;
        let erasure = Erasure {
            entity: self.entity.clone(),
            target,
            others: Vec::new(),
            note: self.sequence,
            payload: Bytes::from_static(b"gone"),
        };
        self.send(house, Vec::new(), vec![erasure])
    }

    fn send(
        &self,
        house: &House,
        records: Vec<NewRecord>,
        erasures: Vec<Erasure>,
    ) -> oneshot::Receiver<Outcome> {
        let (sender, receiver) = oneshot::channel();
        house.pools.append(Append {
            divisible: 0,
            family: Family::Rooms,
            shard: house.store.layout().shard_of(&self.entity).number,
            records,
            erasures,
            lineage: self.lineage.clone(),
            span: tracing::Span::none(),
            done: Box::new(move |outcome| {
                let _ = sender.send(outcome);
            }),
        });
        receiver
    }
}

struct House {
    store: Arc<MemoryStore>,
    pools: Arc<Pools>,
}

async fn house(shards: u16, appenders: usize) -> House {
    let store = MemoryStore::with(shards, appenders);
    let limits = PoolLimits {
        reopen_after_ms: 1,
        ..PoolLimits::default()
    };
    let pools = Pools::open(store.clone(), env(), limits).await.unwrap();
    House { store, pools }
}

async fn outcome(receiver: oneshot::Receiver<Outcome>) -> Outcome {
    let answer = tokio::time::timeout(Duration::from_secs(120), receiver).await;
    answer.expect("an outcome in time").expect("done is called")
}

async fn read(reader: &mut TailReader, records: usize) -> Vec<StoredRecord> {
    let mut read = Vec::new();
    while read.len() < records {
        let next = tokio::time::timeout(Duration::from_secs(120), reader.next()).await;
        read.extend(next.expect("records in time"));
    }
    assert_eq!(read.len(), records);
    read
}

fn assert_dense(records: &[StoredRecord], shards: u16) {
    for number in 0..shards {
        let shard = Shard {
            family: Family::Rooms,
            number,
        };
        let own = records.iter().filter(|record| record.shard == shard);
        let positions: Vec<Position> = own.map(|record| record.position).collect();
        let expected: Vec<Position> = (1..=positions.len() as u64).collect();
        assert_eq!(positions, expected, "{shard}");
    }
}

#[tokio::test]
async fn appends_that_wait_are_one_batch() {
    let house = house(4, 1).await;
    house.store.hold();
    let mut authors: Vec<_> = (0..50).map(|n| Author::new(&format!("!{n}:a"))).collect();
    let first = authors[0].append(&house, 1);
    house.store.wait_begun(1).await;
    let mut later = Vec::new();
    for _ in 0..20 {
        for author in &mut authors {
            later.push(author.append(&house, 1));
        }
    }
    assert!(house.pools.has_room(Family::Rooms, 0));
    house.store.release();
    outcome(first).await.unwrap();
    for receiver in later {
        outcome(receiver).await.unwrap();
    }
    assert_eq!(house.store.batches(), [1, 512, 488]);
}

#[tokio::test]
async fn an_append_is_never_split() {
    let house = house(1, 1).await;
    house.store.hold();
    let mut author = Author::new("!a:a");
    let sizes = [1, 300, 300, 700, 2, 0];
    let receivers: Vec<_> = sizes
        .iter()
        .map(|size| author.append(&house, *size))
        .collect();
    house.store.release();
    let mut positions = Vec::new();
    for (size, receiver) in sizes.iter().zip(receivers) {
        let landing = outcome(receiver).await.unwrap();
        assert_eq!(landing.landed.len(), *size);
        positions.extend(landing.landed.iter().map(|landed| landed.position));
    }
    assert_eq!(positions, (1..=1303).collect::<Vec<_>>());
    let batches = house.store.batches();
    assert!(batches.ends_with(&[300, 700, 2]), "{batches:?}");
}

#[tokio::test]
async fn room_ends_and_comes_back() {
    let store = MemoryStore::with(1, 1);
    let limits = PoolLimits {
        queue_records_max: 3,
        queue_bytes_max: 1_000,
        ..PoolLimits::default()
    };
    let pools = Pools::open(store.clone(), env(), limits).await.unwrap();
    let house = House { store, pools };
    house.store.hold();
    let mut author = Author::new("!a:a");
    let records = author.append(&house, 3);
    assert!(!house.pools.has_room(Family::Rooms, 0));
    assert!(house.pools.has_room(Family::Users, 0));
    house.store.release();
    outcome(records).await.unwrap();
    assert!(house.pools.has_room(Family::Rooms, 0));
    let mut large = author.record();
    large.payload = Bytes::from(vec![0; 1_000]);
    house.store.hold();
    let large = author.send(&house, vec![large], Vec::new());
    assert!(!house.pools.has_room(Family::Rooms, 0));
    house.store.release();
    outcome(large).await.unwrap();
}

#[tokio::test]
async fn a_failed_batch_breaks_the_lives_in_it_and_no_other() {
    let house = house(1, 1).await;
    let (mut broken, mut other) = (Author::new("!a:a"), Author::new("!b:a"));
    house.store.hold();
    house.store.fault(Fault::Fail);
    let first = broken.append(&house, 1);
    house.store.wait_begun(1).await;
    // Queued before the failure is known.
    let second = broken.append(&house, 1);
    let others = other.append(&house, 1);
    house.store.release();
    assert!(matches!(outcome(first).await, Err(AppendError::Failed(_))));
    assert!(matches!(outcome(second).await, Err(AppendError::Failed(_))));
    assert_eq!(outcome(others).await.unwrap().landed[0].position, 1);
    let third = broken.append(&house, 1);
    assert!(matches!(outcome(third).await, Err(AppendError::Failed(_))));
    let mut next_life = Author::new("!a:a");
    outcome(next_life.append(&house, 1)).await.unwrap();
}

#[tokio::test]
async fn doubt_is_settled_both_ways() {
    let house = house(1, 1).await;
    let mut author = Author::new("!a:a");
    let mut reader = house.pools.tail().follow(Family::Rooms, &[]);
    house
        .store
        .fault(Fault::DoubtCommitted { settle_failures: 2 });
    let landing = outcome(author.append(&house, 2)).await.unwrap();
    assert_eq!(landing.landed[1].position, 2);
    assert_eq!(read(&mut reader, 2).await.len(), 2);
    house.store.fault(Fault::DoubtLost { settle_failures: 1 });
    let lost = outcome(author.append(&house, 1)).await;
    assert!(matches!(lost, Err(AppendError::Failed(_))));
    assert!(author.lineage.is_broken());
    assert_eq!(house.store.records_of(&author.entity).len(), 2);
}

#[tokio::test]
async fn a_dead_writer_is_rebuilt_and_what_it_held_fails() {
    let house = house(1, 1).await;
    let opened = house.store.opened();
    let (mut dead, mut waiting) = (Author::new("!a:a"), Author::new("!b:a"));
    house.store.hold();
    house.store.fault(Fault::Panic);
    let first = dead.append(&house, 1);
    house.store.wait_begun(1).await;
    let second = waiting.append(&house, 1);
    house.store.fail_opening(2);
    house.store.release();
    assert!(matches!(outcome(first).await, Err(AppendError::Failed(_))));
    assert!(matches!(outcome(second).await, Err(AppendError::Failed(_))));
    assert!(waiting.lineage.is_broken());
    // What it held is told only when nothing of it can land any more.
    assert_eq!(house.store.opened(), opened + 1);
    let mut next = Author::new("!a:a");
    assert_eq!(
        outcome(next.append(&house, 1)).await.unwrap().landed[0].position,
        1
    );
    assert!(house.pools.has_room(Family::Rooms, 0));
    assert_eq!(house.store.records_of(&next.entity)[0].epoch, 2);
}

#[tokio::test]
async fn a_fenced_shard_takes_nothing_more() {
    let house = house(4, 1).await;
    let mut authors: Vec<_> = (0..40).map(|n| Author::new(&format!("!{n}:a"))).collect();
    let layout = house.store.layout();
    let fenced = layout.shard_of(&authors[0].entity);
    house.store.fence(fenced);
    assert!(matches!(
        outcome(authors[0].append(&house, 1)).await,
        Err(AppendError::Fenced)
    ));
    let other = authors
        .iter_mut()
        .find(|author| layout.shard_of(&author.entity) != fenced);
    outcome(other.unwrap().append(&house, 1)).await.unwrap();
    let begun = house.store.appends_begun();
    let mut late = Author::new("!0:a");
    assert!(matches!(
        outcome(late.append(&house, 1)).await,
        Err(AppendError::Fenced)
    ));
    assert_eq!(house.store.appends_begun(), begun);
    assert_eq!(house.pools.fenced_shards(), [fenced]);
    house.pools.retake(fenced).await.unwrap();
    assert!(house.pools.fenced_shards().is_empty());
    let mut back = Author::new("!0:a");
    outcome(back.append(&house, 1)).await.unwrap();
    assert_eq!(house.store.records_of(&back.entity)[0].epoch, 2);
}

#[tokio::test]
async fn close_commits_what_waits_and_refuses_what_comes() {
    let house = house(4, 2).await;
    house.store.delay(Duration::from_millis(5));
    let mut authors: Vec<_> = (0..8).map(|n| Author::new(&format!("!{n}:a"))).collect();
    let mut receivers = Vec::new();
    for _ in 0..100 {
        receivers.extend(authors.iter_mut().map(|author| author.append(&house, 3)));
    }
    house.pools.close(Duration::from_secs(120)).await;
    for receiver in receivers {
        outcome(receiver).await.unwrap();
    }
    let late = outcome(authors[0].append(&house, 1)).await;
    assert!(matches!(late, Err(AppendError::Failed(_))));
    assert!(!house.pools.has_room(Family::Rooms, 0));
}

#[tokio::test]
async fn close_in_trouble_still_tells_everybody() {
    let house = house(1, 1).await;
    house.store.fault(Fault::Panic);
    house.store.fail_opening(u64::MAX);
    let receiver = Author::new("!a:a").append(&house, 1);
    house.pools.close(Duration::from_secs(120)).await;
    assert!(outcome(receiver).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_see_every_record_once_and_in_order() {
    let house = Arc::new(house(4, 2).await);
    let mut early = house.pools.tail().follow(Family::Rooms, &[]);
    let authors: Vec<_> = (0..16)
        .map(|n| {
            let house = house.clone();
            tokio::spawn(async move {
                let mut author = Author::new(&format!("!{n}:a"));
                for _ in 0..50 {
                    outcome(author.append(&house, 2)).await.unwrap();
                }
            })
        })
        .collect();
    let seen = read(&mut early, 1_600).await;
    for author in authors {
        author.await.unwrap();
    }
    assert_dense(&seen, 4);
    let late = read(&mut house.pools.tail().follow(Family::Rooms, &[]), 1_600).await;
    assert_dense(&late, 4);
    let head = early.position(1);
    assert_eq!(
        head,
        house.pools.tail().head(Shard {
            family: Family::Rooms,
            number: 1
        })
    );
    let mut rest = house.pools.tail().follow(
        Family::Rooms,
        &[
            (0, early.position(0)),
            (1, head - 3),
            (2, early.position(2)),
            (3, early.position(3)),
        ],
    );
    let rest = read(&mut rest, 3).await;
    let positions: Vec<_> = rest.iter().map(|record| record.position).collect();
    assert_eq!(positions, [head - 2, head - 1, head]);
}

#[tokio::test]
async fn what_fits_the_channel_is_not_read_from_the_log() {
    let house = house(1, 1).await;
    let mut reader = house.pools.tail().follow(Family::Rooms, &[]);
    let mut author = Author::new("!a:a");
    for _ in 0..20 {
        outcome(author.append(&house, 2)).await.unwrap();
        read(&mut reader, 2).await;
    }
    // The first answer may come by way of the log: the reader asks for the heads once.
    assert!(
        house.store.shard_reads() <= 1,
        "{}",
        house.store.shard_reads()
    );
}

#[tokio::test]
async fn a_slow_follower_loses_nothing() {
    let house = house(4, 1).await;
    let mut slow = house.pools.tail().follow(Family::Rooms, &[]);
    let mut authors: Vec<_> = (0..8).map(|n| Author::new(&format!("!{n}:a"))).collect();
    outcome(authors[0].append(&house, 1)).await.unwrap();
    read(&mut slow, 1).await;
    for _ in 0..200 {
        for author in &mut authors {
            outcome(author.append(&house, 1)).await.unwrap();
        }
    }
    assert!(
        house.store.batches().len() > 1_100,
        "more batches than its channel holds"
    );
    let mut seen = vec![house.store.records_of(&authors[0].entity)[0].clone()];
    while seen.len() < 1_601 {
        // Often given up and called again on the way.
        if let Ok(next) = tokio::time::timeout(Duration::from_micros(1), slow.next()).await {
            seen.extend(next);
        }
        tokio::task::yield_now().await;
    }
    assert_dense(&seen, 4);
    outcome(authors[3].append(&house, 1)).await.unwrap();
    read(&mut slow, 1).await;
}

#[tokio::test]
async fn erasures_end_a_batch_and_are_read_too() {
    let house = house(1, 1).await;
    let mut reader = house.pools.tail().follow(Family::Rooms, &[]);
    let mut author = Author::new("!a:a");
    house.store.hold();
    let receivers = [
        author.append(&house, 1),
        author.append(&house, 1),
        // Its target waits in the queue as well.
        author.erase(&house, 2),
        author.append(&house, 1),
    ];
    house.store.release();
    for receiver in receivers {
        outcome(receiver).await.unwrap();
    }
    let seen = read(&mut reader, 4).await;
    assert_dense(&seen, 1);
    let written: Vec<_> = seen
        .iter()
        .map(|record| (record.sequence, record.kind))
        .collect();
    assert_eq!(written, [(1, 1), (2, 1), (3, 0), (4, 1)]);
    assert_eq!(house.store.records_of(&author.entity)[1].payload, "gone");
    outcome(author.erase(&house, 1)).await.unwrap();
    assert_eq!(
        read(&mut reader, 1).await[0].kind,
        0,
        "a note alone wakes readers"
    );
}

#[tokio::test]
async fn time_never_runs_backwards() {
    struct Backwards(AtomicU64);
    impl Clock for Backwards {
        fn now_ms(&self) -> u64 {
            self.0.fetch_sub(1, Ordering::SeqCst)
        }
    }
    let store = MemoryStore::new();
    let mut env = env();
    env.clock = Arc::new(Backwards(AtomicU64::new(1_000)));
    let opened = Pools::open(store.clone(), env, PoolLimits::default()).await;
    let house = House {
        store,
        pools: opened.unwrap(),
    };
    let mut author = Author::new("!a:a");
    let first = outcome(author.append(&house, 1)).await.unwrap();
    let second = outcome(author.append(&house, 1)).await.unwrap();
    assert_eq!(first.at_ms, second.at_ms);
}

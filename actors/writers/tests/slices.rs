//! Appends that need not land as a whole: they hold nobody up.

use playhouse_schema::port::NewRecord;

use super::*;
use crate::writers::desk::SLICE_RECORDS;

impl Author {
    /// An append of which all records but the last may land alone.
    fn append_in_slices(&mut self, house: &House, records: usize) -> oneshot::Receiver<Outcome> {
        let made: Vec<NewRecord> = (0..records).map(|_| self.record()).collect();
        let (sender, receiver) = oneshot::channel();
        house.pools.append(Append {
            divisible: records.saturating_sub(1),
            family: Family::Rooms,
            shard: house.store.layout().shard_of(&self.entity).number,
            records: made,
            erasures: Vec::new(),
            lineage: self.lineage.clone(),
            span: tracing::Span::none(),
            done: Box::new(move |outcome| {
                let _ = sender.send(outcome);
            }),
        });
        receiver
    }
}

#[tokio::test]
async fn others_are_written_in_between() {
    let house = house(1, 1).await;
    let (mut large, mut small) = (Author::new("!a:a"), Author::new("!b:a"));
    house.store.hold();
    let all = large.append_in_slices(&house, 10 * SLICE_RECORDS);
    let after = large.append(&house, 3);
    assert!(house.pools.has_room(Family::Rooms, 0));
    house.store.wait_begun(1).await;
    let between = small.append(&house, 2);
    for _ in 0..2 {
        house.store.let_one_through();
    }
    // While the large one is far from done.
    let between = outcome(between).await.unwrap();
    assert!(between.landed[1].position <= 2 * SLICE_RECORDS as u64 + 2);
    house.store.release();
    let all = outcome(all).await.unwrap();
    assert_eq!(all.landed.len(), 10 * SLICE_RECORDS);
    let positions: Vec<_> = all.landed.iter().map(|landed| landed.position).collect();
    assert!(positions.is_sorted());
    let after = outcome(after).await.unwrap();
    assert!(after.landed[0].position > positions[positions.len() - 1]);
    let records = house.store.records_of(&Entity::room("!a:a"));
    let sequences: Vec<_> = records.iter().map(|record| record.sequence).collect();
    let expected: Vec<_> = (1..=10 * SLICE_RECORDS as u64 + 3).collect();
    assert_eq!(sequences, expected);
    let batches = house.store.batches();
    assert!(batches.iter().all(|records| *records <= SLICE_RECORDS + 5));
}

#[tokio::test]
async fn who_writes_without_a_pause_keeps_nothing_back() {
    let house = house(1, 1).await;
    let (mut large, mut small) = (Author::new("!a:a"), Author::new("!b:a"));
    house.store.hold();
    let all = large.append_in_slices(&house, 12 * SLICE_RECORDS);
    let mut written = Vec::new();
    for begun in 1..=12 {
        house.store.wait_begun(begun).await;
        written.push(small.append(&house, 1));
        house.store.let_one_through();
    }
    let slices = house.store.records_of(&Entity::room("!a:a")).len() / SLICE_RECORDS;
    // Where nobody else waits at a moment there may be some more than every fourth.
    assert!(
        (2..9).contains(&slices),
        "{slices} slices in twelve batches"
    );
    house.store.release();
    for small in written {
        outcome(small).await.unwrap();
    }
    assert_eq!(outcome(all).await.unwrap().landed.len(), 12 * SLICE_RECORDS);
}

#[tokio::test]
async fn two_large_ones_hold_nobody_up_either() {
    let house = house(1, 1).await;
    let (mut one, mut other) = (Author::new("!a:a"), Author::new("!b:a"));
    let mut small = Author::new("!c:a");
    house.store.hold();
    let first = one.append_in_slices(&house, 4 * SLICE_RECORDS);
    let second = other.append_in_slices(&house, 4 * SLICE_RECORDS);
    let after = other.append(&house, 1);
    house.store.wait_begun(1).await;
    let between = small.append(&house, 1);
    for _ in 0..2 {
        house.store.let_one_through();
    }
    let between = outcome(between).await.unwrap();
    assert!(between.landed[0].position <= 2 * SLICE_RECORDS as u64 + 1);
    house.store.release();
    let first = outcome(first).await.unwrap();
    let second = outcome(second).await.unwrap();
    let after = outcome(after).await.unwrap();
    let last = |landing: &Landing| landing.landed.last().unwrap().position;
    assert!(last(&first) < last(&second) && last(&second) < last(&after));
    let written = house.store.records_of(&other.entity);
    assert_eq!(written.len(), 4 * SLICE_RECORDS + 1);
}

#[tokio::test]
async fn what_has_landed_stays_when_the_rest_fails() {
    let house = house(1, 1).await;
    let mut large = Author::new("!a:a");
    house.store.hold();
    let all = large.append_in_slices(&house, 4 * SLICE_RECORDS);
    let after = large.append(&house, 1);
    house.store.wait_begun(1).await;
    house.store.let_one_through();
    house.store.wait_begun(2).await;
    house.store.fault(Fault::Fail);
    house.store.release();
    assert!(outcome(all).await.is_err());
    assert!(outcome(after).await.is_err());
    let records = house.store.records_of(&Entity::room("!a:a"));
    assert_eq!(records.len(), SLICE_RECORDS);
    assert!(house.pools.has_room(Family::Rooms, 0));
}

#[tokio::test]
async fn a_doubt_is_settled_slice_by_slice() {
    let house = house(1, 1).await;
    let mut large = Author::new("!a:a");
    house
        .store
        .fault(Fault::DoubtCommitted { settle_failures: 1 });
    let all = large.append_in_slices(&house, 3 * SLICE_RECORDS);
    let all = outcome(all).await.unwrap();
    assert_eq!(all.landed.len(), 3 * SLICE_RECORDS);
    let records = house.store.records_of(&Entity::room("!a:a"));
    assert_eq!(records.len(), 3 * SLICE_RECORDS);
}

#[tokio::test]
async fn a_fenced_neighbour_fails_alone() {
    let house = house(2, 1).await;
    let names: Vec<_> = (0..20).map(|number| format!("!{number}:a")).collect();
    let shard = |name: &str| house.store.layout().shard_of(&Entity::room(name));
    let other = names.iter().find(|name| shard(name) != shard(&names[0]));
    let (mut large, mut small) = (Author::new(&names[0]), Author::new(other.unwrap()));
    house.store.hold();
    let all = large.append_in_slices(&house, 3 * SLICE_RECORDS);
    house.store.wait_begun(1).await;
    let lost = small.append(&house, 1);
    house.store.fence(shard(other.unwrap()));
    house.store.release();
    assert_eq!(outcome(lost).await.unwrap_err(), AppendError::Fenced);
    let all = outcome(all).await.unwrap();
    assert_eq!(all.landed.len(), 3 * SLICE_RECORDS);
}

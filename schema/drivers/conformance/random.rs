//! Random batches.

use std::{collections::BTreeMap, sync::Arc};

use proptest::prelude::*;

use super::{Ground, append, appenders, batch, erasure, record, rooms, run};
use crate::{address::Family, port::LogStore, verify::verify_shard};

/// What a step of a random history does to a room: writes a payload of some size, or erases one of its records.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Write {
        room: usize,
        size: usize,
    },
    Erase {
        room: usize,
        nth: usize,
        size: usize,
    },
}

/// Batches of steps.
pub(super) fn histories() -> impl Strategy<Value = Vec<Vec<Step>>> {
    prop::collection::vec(prop::collection::vec(step(), 1..30), 1..12)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..12usize, 0..3_000usize).prop_map(|(room, size)| Step::Write { room, size }),
        1 => (0..12usize, 0..100usize, 0..200usize)
            .prop_map(|(room, nth, size)| Step::Erase { room, nth, size }),
    ]
}

/// Writes a history and tells how many records that makes.
pub(super) async fn write(store: &Arc<dyn LogStore>, history: &[Vec<Step>]) -> u64 {
    let rooms = rooms(12);
    let mut writers = appenders(store, Family::Rooms).await;
    // For each room: its newest number, and the numbers that may be erased.
    let mut newest = [0_u64; 12];
    let mut written: BTreeMap<usize, Vec<u64>> = BTreeMap::new();
    for (index, steps) in history.iter().enumerate() {
        let mut batch = batch(index as u128 + 1, Vec::new());
        let before = written.clone();
        for step in steps {
            if let Step::Write { room, size } = *step {
                newest[room] += 1;
                batch
                    .records
                    .push(record(&rooms[room], newest[room], &"x".repeat(size)));
                written.entry(room).or_default().push(newest[room]);
            }
        }
        for step in steps {
            if let Step::Erase { room, nth, size } = *step
                && let Some(targets) = before.get(&room)
            {
                newest[room] += 1;
                let target = targets[nth % targets.len()];
                let text = "y".repeat(size);
                batch
                    .erasures
                    .push(erasure(&rooms[room], target, newest[room], &text));
            }
        }
        append(store, &mut writers, &batch).await.unwrap();
    }
    newest.iter().sum()
}

async fn any_history_verifies(ground: Ground, history: Vec<Vec<Step>>) {
    let store = ground.open().await;
    let written = write(&store, &history).await;
    let mut total = 0;
    for head in store.heads(Family::Rooms).await.unwrap() {
        let verified = verify_shard(&*store, head.shard).await.unwrap();
        assert_eq!(
            (verified.position, verified.chain),
            (head.position, head.chain)
        );
        total += head.position;
    }
    assert_eq!(total, written);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_history_verifies_on_sqlite(history in histories()) {
        run(any_history_verifies(Ground::sqlite(2), history));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_history_verifies_on_postgres(history in histories()) {
        run(any_history_verifies(Ground::postgres(2), history));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_history_verifies_in_several_databases(history in histories()) {
        run(any_history_verifies(Ground::several(3, 1), history));
    }
}

//! What the reading side promises.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{Ground, append, appenders, batch, record, rooms};
use crate::{
    address::Family,
    port::{EntityRange, Snapshot},
};

pub(super) async fn ranges_run_both_ways(ground: Ground) {
    let store = ground.open().await;
    let room = &rooms(1)[0];
    let mut writers = appenders(&store, Family::Rooms).await;
    let records = (1..=10).map(|sequence| record(room, sequence, &format!("text {sequence}")));
    append(&store, &mut writers, &batch(1, records.collect()))
        .await
        .unwrap();
    for (backwards, expected) in [(false, [3, 4, 5]), (true, [8, 7, 6])] {
        let range = EntityRange {
            from: 3,
            to: 8,
            backwards,
            limit: 3,
        };
        let read = store.read_entity(room, range).await.unwrap();
        let sequences: Vec<_> = read.iter().map(|record| record.sequence).collect();
        assert_eq!(sequences, expected);
        assert_eq!(read[0].payload, format!("text {}", expected[0]));
        assert_eq!((read[0].kind, &read[0].entity), (100, room));
    }
    let all = EntityRange {
        from: 0,
        to: u64::MAX,
        backwards: false,
        limit: usize::MAX,
    };
    assert_eq!(store.read_entity(room, all).await.unwrap().len(), 10);
    let shard = store.layout().shard_of(room);
    let tail = store.read_shard(shard, 8, 100).await.unwrap();
    assert_eq!(
        tail.iter()
            .map(|record| record.position)
            .collect::<Vec<_>>(),
        [9, 10]
    );
}

pub(super) async fn sizes_are_told_by_kind(ground: Ground) {
    let store = ground.open().await;
    let rooms = rooms(2);
    let mut writers = appenders(&store, Family::Rooms).await;
    let mut records = Vec::new();
    for (sequence, kind, text) in [(1, 100, "abc"), (2, 101, "de"), (3, 100, "f"), (4, 100, "")] {
        let mut record = record(&rooms[0], sequence, text);
        record.kind = kind;
        records.push(record);
    }
    records.push(record(&rooms[1], 1, "of another room"));
    append(&store, &mut writers, &batch(1, records))
        .await
        .unwrap();
    let told = async |range| {
        let sizes = store.sizes(&rooms[0], range).await.unwrap();
        let sizes = sizes
            .iter()
            .map(|size| (size.kind, size.records, size.bytes));
        sizes.collect::<Vec<_>>()
    };
    assert_eq!(told((0, u64::MAX)).await, [(100, 3, 4), (101, 1, 2)]);
    assert_eq!(told((2, 3)).await, [(100, 1, 1), (101, 1, 2)]);
    assert_eq!(told((9, 10)).await, []);
}

pub(super) async fn records_are_found_by_key_and_by_number(ground: Ground) {
    let store = ground.open().await;
    let rooms = rooms(8);
    let mut writers = appenders(&store, Family::Rooms).await;
    let records = rooms.iter().enumerate().map(|(index, room)| {
        let mut record = record(room, 1, "a");
        record.key = Some(format!("$event{index}").into());
        record
    });
    append(&store, &mut writers, &batch(1, records.collect()))
        .await
        .unwrap();
    for (index, room) in rooms.iter().enumerate() {
        let key = format!("$event{index}");
        let found = store.find(Family::Rooms, &key).await.unwrap().unwrap();
        assert_eq!((&found.entity, found.key.as_deref()), (room, Some(&*key)));
    }
    assert!(store.find(Family::Rooms, "$no").await.unwrap().is_none());
    assert!(
        store
            .find(Family::Users, "$event1")
            .await
            .unwrap()
            .is_none()
    );
    let keys = ["$event5", "$no", "$event2", "$event7"];
    let keys = keys.map(str::to_owned).to_vec();
    let found = store.find_some(Family::Rooms, keys).await.unwrap();
    let found = found
        .iter()
        .map(|found| (found.key.as_deref(), &found.entity));
    let of = |index: usize| {
        (
            ["$event2", "$event5", "$event7"][index],
            &rooms[[2, 5, 7][index]],
        )
    };
    let expected = [0, 1, 2].map(of).map(|(key, room)| (Some(key), room));
    assert_eq!(found.collect::<BTreeMap<_, _>>(), expected.into());
    let more = (2..=6).map(|sequence| record(&rooms[0], sequence, "b"));
    append(&store, &mut writers, &batch(2, more.collect()))
        .await
        .unwrap();
    let some = store.read_some(&rooms[0], &[5, 2, 99, 2]).await.unwrap();
    let sequences: Vec<_> = some.iter().map(|record| record.sequence).collect();
    assert_eq!(sequences, [2, 5]);
}

pub(super) async fn heads_of_entities_come_in_the_order_asked(ground: Ground) {
    let store = ground.open().await;
    let rooms = rooms(3);
    let mut writers = appenders(&store, Family::Rooms).await;
    let records = vec![
        record(&rooms[2], 1, "a"),
        record(&rooms[2], 2, "b"),
        record(&rooms[0], 1, "c"),
    ];
    append(&store, &mut writers, &batch(1, records))
        .await
        .unwrap();
    let heads = store.entity_heads(&rooms).await.unwrap();
    assert_eq!(heads[0].unwrap().sequence, 1);
    assert!(heads[1].is_none());
    assert_eq!(heads[2].unwrap().sequence, 2);
    assert_eq!(heads[2].unwrap().shard, store.layout().shard_of(&rooms[2]));
}

pub(super) async fn an_older_snapshot_never_replaces_a_newer_one(ground: Ground) {
    let store = ground.open().await;
    let room = &rooms(1)[0];
    assert!(store.load_snapshot(room).await.unwrap().is_none());
    let snapshot = |sequence| Snapshot {
        sequence,
        version: 3,
        payload: Bytes::from(format!("state at {sequence}")),
    };
    store.save_snapshot(room, snapshot(20)).await.unwrap();
    store.save_snapshot(room, snapshot(10)).await.unwrap();
    let loaded = store.load_snapshot(room).await.unwrap().unwrap();
    assert_eq!((loaded.sequence, loaded.version), (20, 3));
    assert_eq!(loaded.payload, "state at 20");
    store.save_snapshot(room, snapshot(30)).await.unwrap();
    let loaded = store.load_snapshot(room).await.unwrap().unwrap();
    assert_eq!(loaded.sequence, 30);
    store.drop_snapshots().await.unwrap();
    assert!(store.load_snapshot(room).await.unwrap().is_none());
    assert!(store.size_bytes().await.unwrap() > 0);
}

//! What an append promises.

use std::collections::BTreeSet;

use super::{Ground, append, appender, appenders, batch, record, rooms};
use crate::{
    address::{Entity, Family, Shard},
    port::StoreError,
    verify::verify_shard,
};

pub(super) async fn positions_are_dense_over_shards_and_appenders(ground: Ground) {
    let store = ground.open().await;
    let mut writers = appenders(&store, Family::Rooms).await;
    let rooms = rooms(20);
    for round in 1..=5 {
        let records = rooms.iter().map(|room| record(room, round, "some text"));
        let batch = batch(u128::from(round), records.collect());
        append(&store, &mut writers, &batch).await.unwrap();
    }
    let mut total = 0;
    for head in store.heads(Family::Rooms).await.unwrap() {
        let records = store.read_shard(head.shard, 0, 1_000).await.unwrap();
        let positions: Vec<_> = records.iter().map(|record| record.position).collect();
        assert_eq!(positions, (1..=head.position).collect::<Vec<_>>());
        for record in &records {
            assert_eq!(store.layout().shard_of(&record.entity), head.shard);
            assert_eq!(record.epoch, head.epoch);
        }
        let verified = verify_shard(&*store, head.shard).await.unwrap();
        assert_eq!(
            (verified.position, verified.chain),
            (head.position, head.chain)
        );
        total += records.len();
    }
    assert_eq!(total, 100);
    let mut held: Vec<_> = writers.iter().flat_map(|writer| writer.heads()).collect();
    held.sort_by_key(|head| head.shard);
    assert_eq!(held, store.heads(Family::Rooms).await.unwrap());
}

pub(super) async fn a_second_owner_fences_the_first(ground: Ground) {
    let store = ground.open().await;
    let room = &rooms(1)[0];
    let mut old = appenders(&store, Family::Rooms).await;
    append(&store, &mut old, &batch(1, vec![record(room, 1, "a")]))
        .await
        .unwrap();
    let mut new = appenders(&store, Family::Rooms).await;
    let refused = append(&store, &mut old, &batch(2, vec![record(room, 2, "b")])).await;
    assert!(matches!(refused, Err(StoreError::Fenced(_))), "{refused:?}");
    assert_eq!(
        store
            .entity_heads(std::slice::from_ref(room))
            .await
            .unwrap()[0]
            .unwrap()
            .sequence,
        1
    );
    append(&store, &mut new, &batch(3, vec![record(room, 2, "c")]))
        .await
        .unwrap();
    let refused = append(&store, &mut old, &batch(4, vec![record(room, 3, "d")])).await;
    assert!(matches!(refused, Err(StoreError::Fenced(_))), "{refused:?}");
    let shard = store.layout().shard_of(room);
    assert_eq!(verify_shard(&*store, shard).await.unwrap().position, 2);
}

pub(super) async fn a_fenced_shard_is_taken_back(ground: Ground) {
    let store = ground.open().await;
    let rooms = rooms(20);
    let shard = store.layout().shard_of(&rooms[0]);
    let other = rooms
        .iter()
        .find(|room| store.layout().shard_of(room) != shard)
        .unwrap();
    let index = usize::from(shard.number) % store.appenders(Family::Rooms);
    let mut old = appenders(&store, Family::Rooms).await;
    append(&store, &mut old, &batch(1, vec![record(&rooms[0], 1, "a")]))
        .await
        .unwrap();
    // Another owner takes one shard, writes, and only that shard is fenced.
    let mut thief = store.open_appender(Family::Rooms, index).await.unwrap();
    thief.take(&[shard.number]).await.unwrap();
    let stolen = batch(2, vec![record(&rooms[0], 2, "b")]);
    assert_eq!(thief.append(&stolen).await.unwrap()[0].position, 2);
    let late = batch(3, vec![record(&rooms[0], 2, "late")]);
    let refused = append(&store, &mut old, &late).await;
    assert!(matches!(refused, Err(StoreError::Fenced(lost)) if lost == shard));
    append(&store, &mut old, &batch(4, vec![record(other, 1, "x")]))
        .await
        .unwrap();
    // Back again: the head is the thief's, and now the thief is fenced.
    old[index].take(&[shard.number]).await.unwrap();
    append(&store, &mut old, &batch(5, vec![record(&rooms[0], 3, "c")]))
        .await
        .unwrap();
    let refused = batch(6, vec![record(&rooms[0], 4, "d")]);
    let refused = thief.append(&refused).await;
    assert!(matches!(refused, Err(StoreError::Fenced(_))));
    let records = store.read_shard(shard, 0, 10).await.unwrap();
    let epochs: Vec<_> = records.iter().map(|record| record.epoch).collect();
    assert_eq!(epochs, [1, 2, 3]);
    assert_eq!(verify_shard(&*store, shard).await.unwrap().position, 3);
    // What was let go is not written, not even under the old epoch.
    old[index].let_go(&[shard.number]);
    let refused = append(&store, &mut old, &batch(7, vec![record(&rooms[0], 4, "e")])).await;
    assert!(matches!(refused, Err(StoreError::Database(_))));
}

pub(super) async fn only_own_shards_are_taken(ground: Ground) {
    let store = ground.open().await;
    let mut writer = store.open_appender(Family::Rooms, 0).await.unwrap();
    assert!(writer.heads().is_empty());
    let refused = writer
        .append(&batch(1, vec![record(&rooms(1)[0], 1, "a")]))
        .await;
    assert!(
        matches!(refused, Err(StoreError::Database(_))),
        "{refused:?}"
    );
    let mut foreign: Vec<u16> = vec![store.layout().shards];
    if store.appenders(Family::Rooms) > 1 {
        foreign.push(1);
    }
    for number in foreign {
        assert!(writer.take(&[0, number]).await.is_err());
        assert!(writer.heads().is_empty());
    }
    writer.take(&[0]).await.unwrap();
    assert_eq!(writer.heads().len(), 1);
}

pub(super) async fn a_taken_number_is_refused_with_its_whole_batch(ground: Ground) {
    let store = ground.open().await;
    let room = &rooms(1)[0];
    let mut writers = appenders(&store, Family::Rooms).await;
    append(&store, &mut writers, &batch(1, vec![record(room, 1, "a")]))
        .await
        .unwrap();
    let twice = batch(2, vec![record(room, 2, "b"), record(room, 1, "again")]);
    let refused = append(&store, &mut writers, &twice).await;
    assert!(
        matches!(refused, Err(StoreError::Database(_))),
        "{refused:?}"
    );
    let shard = store.layout().shard_of(room);
    assert_eq!(store.read_shard(shard, 0, 10).await.unwrap().len(), 1);
    append(&store, &mut writers, &batch(3, vec![record(room, 2, "b")]))
        .await
        .unwrap();
    assert_eq!(verify_shard(&*store, shard).await.unwrap().position, 2);
}

pub(super) async fn the_newest_of_equal_keys_is_found(ground: Ground) {
    let store = ground.open().await;
    let room = &rooms(1)[0];
    let mut writers = appenders(&store, Family::Rooms).await;
    // Keys that differ only beyond what the index holds, and one that is shorter.
    let keys = ["$event-of-a-room-1", "$event-of-a-room-2", "$e"];
    for sequence in 1..=6 {
        let mut record = record(room, sequence, "a");
        record.key = Some(keys[(sequence as usize - 1) % 3].into());
        append(&store, &mut writers, &batch(sequence.into(), vec![record]))
            .await
            .unwrap();
    }
    for (key, sequence) in keys.into_iter().zip(4..) {
        let found = store.find(Family::Rooms, key).await.unwrap().unwrap();
        assert_eq!(
            (found.sequence, found.key.as_deref()),
            (sequence, Some(key))
        );
    }
    let asked = keys.map(str::to_owned).to_vec();
    let found = store.find_some(Family::Rooms, asked).await.unwrap();
    let found: BTreeSet<_> = found.iter().map(|found| found.sequence).collect();
    assert_eq!(found, [4, 5, 6].into());
    assert!(
        store
            .find(Family::Rooms, "$event-of-a-room-3")
            .await
            .unwrap()
            .is_none()
    );
}

pub(super) async fn heads_survive_reopening(ground: Ground) {
    let user = Entity::user("@a:example.org");
    let before = {
        let store = ground.open().await;
        let mut writers = appenders(&store, Family::Users).await;
        append(&store, &mut writers, &batch(1, vec![record(&user, 1, "a")]))
            .await
            .unwrap();
        store.heads(Family::Users).await.unwrap()
    };
    let store = ground.open().await;
    assert_eq!(store.heads(Family::Users).await.unwrap(), before);
    let mut writers = appenders(&store, Family::Users).await;
    append(&store, &mut writers, &batch(2, vec![record(&user, 2, "b")]))
        .await
        .unwrap();
    let shard = store.layout().shard_of(&user);
    let verified = verify_shard(&*store, shard).await.unwrap();
    assert_eq!(verified.position, 2);
    let records = store.read_shard(shard, 0, 10).await.unwrap();
    assert!(records[0].epoch < records[1].epoch);
}

pub(super) async fn settling_tells_whether_a_batch_landed(ground: Ground) {
    let store = ground.open().await;
    let room = &rooms(1)[0];
    let index = usize::from(store.layout().shard_of(room).number) % store.appenders(Family::Rooms);
    let mut writer = appender(&store, Family::Rooms, index).await;
    let never = batch(1, vec![record(room, 1, "a")]);
    assert_eq!(writer.settle(&never).await.unwrap(), None);
    let landed = writer.append(&never).await.unwrap();
    assert_eq!(landed[0].position, 1);
    let mut other = appender(&store, Family::Rooms, index).await;
    let refused = writer.settle(&batch(2, vec![record(room, 2, "b")])).await;
    assert!(matches!(refused, Err(StoreError::Fenced(_))), "{refused:?}");
    other
        .append(&batch(3, vec![record(room, 2, "c")]))
        .await
        .unwrap();
}

pub(super) async fn a_foreign_shard_is_refused(ground: Ground) {
    let store = ground.open().await;
    let mut writer = appender(&store, Family::Rooms, 0).await;
    let user = Entity::user("@a:example.org");
    let refused = writer.append(&batch(1, vec![record(&user, 1, "a")])).await;
    assert!(
        matches!(refused, Err(StoreError::Database(_))),
        "{refused:?}"
    );
    let nobody = store.open_appender(Family::Rooms, 99).await;
    assert!(matches!(nobody, Err(StoreError::Database(_))));
    let shard = Shard {
        family: Family::Rooms,
        number: 0,
    };
    assert_eq!(verify_shard(&*store, shard).await.unwrap().position, 0);
}

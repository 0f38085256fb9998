//! What an erasure promises.

use super::{Ground, append, appenders, batch, erasure, erasures, record, rooms};
use crate::{
    address::Family,
    port::{NewRecord, Snapshot, StoreError},
    record::{ERASURE, codec::ErasureNote},
    verify::verify_shard,
};

pub(super) async fn an_erasure_keeps_the_chain(ground: Ground) {
    let store = ground.open().await;
    let room = &rooms(1)[0];
    let mut writers = appenders(&store, Family::Rooms).await;
    let records = vec![record(room, 1, "secret"), record(room, 2, "public")];
    append(&store, &mut writers, &batch(1, records))
        .await
        .unwrap();
    let first = erasures(2, vec![erasure(room, 1, 3, "gone")]);
    append(&store, &mut writers, &first).await.unwrap();
    let shard = store.layout().shard_of(room);
    let verified = verify_shard(&*store, shard).await.unwrap();
    assert_eq!((verified.position, verified.erased), (3, 1));
    // Again, together with a record: notes come after records.
    let mut second = erasures(3, vec![erasure(room, 1, 5, "gone for ever")]);
    second.records.push(record(room, 4, "more"));
    append(&store, &mut writers, &second).await.unwrap();
    let stored = store.read_shard(shard, 0, 10).await.unwrap();
    assert_eq!(stored[0].payload, "gone for ever");
    assert_eq!(stored[1].payload, "public");
    assert_eq!((stored[3].sequence, stored[4].sequence), (4, 5));
    assert_eq!(stored[4].kind, ERASURE);
    let note: ErasureNote = rmp_serde::from_slice(&stored[4].payload).unwrap();
    assert_eq!(note.sequence, 1);
    let verified = verify_shard(&*store, shard).await.unwrap();
    assert_eq!((verified.position, verified.erased), (5, 1));
}

pub(super) async fn one_note_speaks_of_several(ground: Ground) {
    let store = ground.open().await;
    let room = &rooms(1)[0];
    let mut writers = appenders(&store, Family::Rooms).await;
    let keyed = |sequence, key: &str| NewRecord {
        key: Some(key.into()),
        ..record(room, sequence, "a secret of some length")
    };
    let records = vec![keyed(1, "$one"), keyed(2, "$two"), keyed(3, "$three")];
    append(&store, &mut writers, &batch(1, records))
        .await
        .unwrap();
    let mut all = erasure(room, 1, 4, "gone");
    all.others = vec![3];
    append(&store, &mut writers, &erasures(2, vec![all]))
        .await
        .unwrap();
    let shard = store.layout().shard_of(room);
    let stored = store.read_shard(shard, 0, 10).await.unwrap();
    let texts: Vec<_> = stored.iter().map(|record| &record.payload[..]).collect();
    assert_eq!(texts[0], b"gone");
    assert_eq!(texts[1], b"a secret of some length");
    assert_eq!(texts[2], b"gone");
    assert_eq!(stored.len(), 4);
    let note: ErasureNote = rmp_serde::from_slice(texts[3]).unwrap();
    assert_eq!(note.sequences().collect::<Vec<_>>(), [1, 3]);
    let verified = verify_shard(&*store, shard).await.unwrap();
    assert_eq!((verified.position, verified.erased), (4, 2));
    // Of what is gone nothing is found.
    for (key, is_there) in [("$one", false), ("$two", true), ("$three", false)] {
        let found = store.find(Family::Rooms, key).await.unwrap();
        assert_eq!(found.is_some(), is_there, "{key}");
    }
}

pub(super) async fn what_is_not_there_cannot_be_erased(ground: Ground) {
    let store = ground.open().await;
    let room = &rooms(1)[0];
    let mut writers = appenders(&store, Family::Rooms).await;
    append(&store, &mut writers, &batch(1, vec![record(room, 1, "a")]))
        .await
        .unwrap();
    append(
        &store,
        &mut writers,
        &erasures(2, vec![erasure(room, 1, 2, "b")]),
    )
    .await
    .unwrap();
    // A missing record, an erasure note, and a record of the same batch.
    let mut same = erasures(5, vec![erasure(room, 3, 4, "x")]);
    same.records.push(record(room, 3, "new"));
    let missing = erasures(3, vec![erasure(room, 9, 3, "x")]);
    let note = erasures(4, vec![erasure(room, 2, 3, "x")]);
    for refused in [missing, note, same] {
        let refused = append(&store, &mut writers, &refused).await;
        assert!(
            matches!(refused, Err(StoreError::Database(_))),
            "{refused:?}"
        );
    }
    let shard = store.layout().shard_of(room);
    assert_eq!(verify_shard(&*store, shard).await.unwrap().position, 2);
    append(&store, &mut writers, &batch(6, vec![record(room, 3, "c")]))
        .await
        .unwrap();
}

pub(super) async fn what_is_erased_or_dropped_is_scrubbed(ground: Ground) {
    let store = ground.open().await;
    let room = &rooms(1)[0];
    let mut writers = appenders(&store, Family::Rooms).await;
    append(&store, &mut writers, &batch(1, vec![record(room, 1, "a")]))
        .await
        .unwrap();
    let snapshot = Snapshot {
        sequence: 1,
        version: 1,
        payload: "secret".into(),
    };
    store.save_snapshot(room, snapshot).await.unwrap();
    let gone = erasures(2, vec![erasure(room, 1, 2, "gone")]);
    append(&store, &mut writers, &gone).await.unwrap();
    store.drop_snapshot(room).await.unwrap();
    assert!(store.load_snapshot(room).await.unwrap().is_none());
    // Both engines go on as before.
    store.scrub().await.unwrap();
    append(&store, &mut writers, &batch(3, vec![record(room, 3, "b")]))
        .await
        .unwrap();
    store.scrub().await.unwrap();
    let shard = store.layout().shard_of(room);
    assert_eq!(verify_shard(&*store, shard).await.unwrap().position, 3);
}

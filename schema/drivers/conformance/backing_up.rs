//! A backup that is made while the log is written, and a house that begins anew from it.

use std::sync::Arc;

use super::{Ground, append, appenders, batch, erasure, erasures, record, rooms, unlocked};
use crate::{
    address::{Entity, Family},
    backup::{RestoreWish, Restored, back_up, complete, layout_after, restore},
    drivers::{DatabaseConfig, hold, open, open_beside},
    migrate::port::Side,
    models,
    port::{LogStore, NewRecord, StoreError},
    record::{
        codec::Record as _,
        restore::{self as restores, RestoreRecord},
        user::{Deactivated, OneTimeKeysAdded, Reopened, UserRecord},
    },
    verify::verify_shard,
};

/// The moment at which the batch of this number was written.
fn moment(id: u64) -> u64 {
    1_700_000_000_000 + id
}

fn of_user(user: &Entity, sequence: u64, record: &UserRecord) -> NewRecord {
    NewRecord {
        entity: user.clone(),
        sequence,
        kind: record.kind(),
        key: None,
        payload: record.encode(),
    }
}

async fn backed_up(ground: &Ground, folder: &str) -> DatabaseConfig {
    let config = DatabaseConfig::Sqlite {
        folder: ground.folder.path().join(folder),
        writers: 1,
    };
    let source = open_beside(ground.config.clone()).await.unwrap();
    let target = unlocked(|| hold(config.clone(), Side::To(source.layout()))).await;
    let target = target.unwrap();
    back_up(&*source, &*target, &models::all(), &mut |_| {})
        .await
        .unwrap();
    config
}

/// Up to a moment, or all of a backup that was begun at it.
async fn restored(
    ground: &Ground,
    backup: &DatabaseConfig,
    (until, is_whole): (u64, bool),
) -> (Arc<dyn LogStore>, Restored) {
    let source = unlocked(|| hold(backup.clone(), Side::Backup)).await;
    let source = source.unwrap();
    let wish = RestoreWish {
        until_ms: moment(until),
        is_whole,
        now_ms: moment(1_000_000),
    };
    let layout = layout_after(source.log().layout(), wish.now_ms);
    let config = DatabaseConfig::Sqlite {
        folder: ground
            .folder
            .path()
            .join(format!("restored-{until}-{is_whole}")),
        writers: 2,
    };
    let target = unlocked(|| hold(config.clone(), Side::To(layout))).await;
    let target = target.unwrap();
    let refused = open(config.clone()).await.err();
    assert!(matches!(
        refused,
        Some(StoreError::Locked(_) | StoreError::Incompatible(_))
    ));
    let restored = restore(&*source.log(), &*target, wish, &mut |_| {})
        .await
        .unwrap();
    complete(&*target, &mut |_| {}).await.unwrap();
    drop(target);
    let store = open(config).await.unwrap();
    assert_eq!(store.layout(), layout);
    (store, restored)
}

async fn texts(store: &Arc<dyn LogStore>, entity: &Entity) -> Vec<String> {
    let shard = store.layout().shard_of(entity);
    verify_shard(&**store, shard).await.unwrap();
    let all = store.read_shard(shard, 0, 1_000).await.unwrap();
    let own = all.iter().filter(|record| record.entity == *entity);
    own.filter(|record| record.kind != crate::record::ERASURE)
        .map(|record| String::from_utf8_lossy(&record.payload).into_owned())
        .collect()
}

pub(super) async fn a_house_begins_anew_from_a_moment(ground: Ground) {
    let store = ground.open().await;
    let (room, user) = (&rooms(1)[0], Entity::user("@anna:example.org"));
    let mut writers = appenders(&store, Family::Rooms).await;
    let mut of_users = appenders(&store, Family::Users).await;
    for (id, text) in [(1, "first"), (2, "secret"), (3, "third")] {
        let records = vec![record(room, id, text)];
        append(&store, &mut writers, &batch(id.into(), records))
            .await
            .unwrap();
    }
    let keys = UserRecord::OneTimeKeysAdded(OneTimeKeysAdded {
        device_id: "D".to_owned(),
        keys: Vec::new(),
    });
    let gone = UserRecord::DeviceRemoved("E".to_owned());
    let locked = UserRecord::LockSet(true);
    let unlocked = UserRecord::LockSet(false);
    let suspended = UserRecord::SuspensionSet(true);
    let closed = UserRecord::Deactivated(Deactivated { erase: false });
    let opened = UserRecord::Reopened(Reopened {
        password_hash: None,
        guest: false,
        at_ms: 5,
    });
    for (id, sequence, record) in [
        (4, 1, &keys),
        (7, 2, &gone),
        (7, 3, &locked),
        (7, 4, &unlocked),
        (7, 5, &suspended),
        (7, 6, &closed),
        (7, 7, &opened),
    ] {
        let records = vec![of_user(&user, sequence, record)];
        append(&store, &mut of_users, &batch(id, records))
            .await
            .unwrap();
    }
    let replaced = erasures(5, vec![erasure(room, 2, 4, "gone")]);
    append(&store, &mut writers, &replaced).await.unwrap();
    let late = batch(6, vec![record(room, 5, "late")]);
    append(&store, &mut writers, &late).await.unwrap();
    // The house goes on meanwhile.
    let backup = backed_up(&ground, "backup").await;
    let later = batch(8, vec![record(room, 6, "later")]);
    append(&store, &mut writers, &later).await.unwrap();
    let refused = open(backup.clone()).await.err();
    assert!(matches!(refused, Some(StoreError::Incompatible(_))));
    let (all, _) = restored(&ground, &backup, (9, false)).await;
    assert_eq!(texts(&all, room).await, ["first", "gone", "third", "late"]);
    // What was erased after the moment stays so.
    let (early, told) = restored(&ground, &backup, (4, false)).await;
    assert_eq!((told.left_out, told.out_of_time), (8, 0));
    assert_eq!(texts(&early, room).await, ["first", "gone", "third"]);
    let shard = early.layout().shard_of(&user);
    let of_user = early.read_shard(shard, 0, 10).await.unwrap();
    let of_user: Vec<_> = of_user
        .iter()
        .map(|record| UserRecord::decode(record).unwrap().unwrap())
        .collect();
    let dropped = UserRecord::OneTimeKeysDropped("D".to_owned());
    assert_eq!(of_user, [keys, gone, suspended, closed, opened, dropped]);
    let shard = early.layout().shard_of(&restores::entity());
    let said = early.read_shard(shard, 0, 10).await.unwrap();
    let said = RestoreRecord::decode(&said[0]).unwrap();
    assert!(
        matches!(said, Some(RestoreRecord::Restored(restored)) if restored.until_ms == moment(4))
    );
}

pub(super) async fn a_clock_that_was_wrong_costs_nothing(ground: Ground) {
    let store = ground.open().await;
    let room = &rooms(1)[0];
    let mut writers = appenders(&store, Family::Rooms).await;
    for (id, sequence, text) in [
        (1, 1, "first"),
        (1 << 40, 2, "from the future"),
        (2, 3, "then"),
    ] {
        let records = vec![record(room, sequence, text)];
        append(&store, &mut writers, &batch(id, records))
            .await
            .unwrap();
    }
    let backup = backed_up(&ground, "backup").await;
    let (all, told) = restored(&ground, &backup, (3, true)).await;
    assert_eq!(
        texts(&all, room).await,
        ["first", "from the future", "then"]
    );
    assert_eq!((told.left_out, told.out_of_time), (0, 0));
    // Who names a moment is told what is missing of it.
    let (some, told) = restored(&ground, &backup, (3, false)).await;
    assert_eq!(texts(&some, room).await, ["first"]);
    assert_eq!((told.left_out, told.out_of_time), (2, 1));
}

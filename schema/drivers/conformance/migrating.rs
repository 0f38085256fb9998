//! Everything comes from one database to another, in all directions, and however often it is cut short.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use proptest::prelude::*;

use super::{
    Ground, append, appenders, batch, erasure, erasures,
    random::{Step, histories, write},
    record, rooms, run, unlocked,
};
use crate::{
    address::{Entity, Family, Position, Shard},
    drivers::{DatabaseConfig, hold, open},
    migrate::{
        Beginning, MigrateError, Migration, Verified,
        port::{HeldStore, Put, Side},
    },
    models::{self, parked::Parked, positions},
    port::{ChainedRecord, CursorAdvance, LogStore, Snapshot, StoreError, StoreFuture},
    record::Kind,
};

async fn held(from: &Ground, to: &Ground) -> (Arc<dyn HeldStore>, Arc<dyn HeldStore>) {
    let source = patiently(from, Side::From).await;
    let target = patiently(to, Side::To(source.log().layout())).await;
    (source, target)
}

async fn patiently(ground: &Ground, side: Side) -> Arc<dyn HeldStore> {
    let held = unlocked(|| hold(ground.config.clone(), side)).await;
    held.unwrap()
}

/// All steps but the folding of models.
async fn bring(migration: &Migration) -> Result<Verified, MigrateError> {
    migration.copy_records(&mut |_| {}).await?;
    migration.copy_snapshots(&mut |_| {}).await?;
    migration.copy_readers(&models::all()).await?;
    let verified = migration.verify(&mut |_| {}).await?;
    migration.complete(&verified).await?;
    Ok(verified)
}

pub(super) async fn migrate(from: &Ground, to: &Ground) -> Verified {
    let (source, target) = held(from, to).await;
    let (migration, beginning) = Migration::begin(source, target).await.unwrap();
    assert_eq!(beginning, Beginning::Empty);
    bring(&migration).await.unwrap()
}

async fn everything(store: &Arc<dyn LogStore>) -> Vec<ChainedRecord> {
    let mut all = Vec::new();
    for family in Family::ALL {
        for number in 0..store.layout().shards {
            let shard = Shard { family, number };
            all.extend(store.read_chain(shard, 0, 1_000_000).await.unwrap());
        }
    }
    all
}

async fn any_history_goes_there_and_back(grounds: [Ground; 3], history: Vec<Vec<Step>>) {
    let [first, second, third] = grounds;
    let (written, before) = {
        let store = first.open().await;
        (write(&store, &history).await, everything(&store).await)
    };
    for (from, to) in [(&first, &second), (&second, &third)] {
        assert_eq!(migrate(from, to).await.records(), written);
        let store = to.open().await;
        assert_eq!(everything(&store).await, before);
        // Epochs go on, and so does the log.
        let heads = store.heads(Family::Rooms).await.unwrap();
        let taken = appenders(&store, Family::Rooms).await;
        let taken: Vec<_> = taken.iter().flat_map(|writer| writer.heads()).collect();
        for head in heads {
            let now = taken.iter().find(|taken| taken.shard == head.shard);
            assert_eq!(now.map(|now| now.epoch), Some(head.epoch + 1));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_history_goes_to_postgres_and_back(history in histories()) {
        let grounds = [Ground::sqlite(2), Ground::postgres(3), Ground::sqlite(1)];
        run(any_history_goes_there_and_back(grounds, history));
    }

    #[test]
    fn any_history_goes_to_sqlite_and_back(history in histories()) {
        let grounds = [Ground::postgres(1), Ground::sqlite(3), Ground::postgres(2)];
        run(any_history_goes_there_and_back(grounds, history));
    }

    #[test]
    fn any_history_goes_to_several_databases_and_to_others(history in histories()) {
        let grounds = [Ground::postgres(1), Ground::several(2, 1), Ground::several(3, 1)];
        run(any_history_goes_there_and_back(grounds, history));
    }

    #[test]
    fn any_history_goes_from_several_databases_to_one(history in histories()) {
        let grounds = [Ground::several(2, 2), Ground::postgres(1), Ground::sqlite(1)];
        run(any_history_goes_there_and_back(grounds, history));
    }
}

/// Some thousand records of all families, of which some are found by a key and some are erased.
async fn populate(ground: &Ground) -> usize {
    let store = ground.open().await;
    let others = [
        Entity::user("@a:example.org"),
        Entity::house("registration"),
    ];
    let mut number = 0;
    let mut count = 0;
    for (family, entities) in [
        (Family::Rooms, rooms(7)),
        (Family::Users, vec![others[0].clone()]),
        (Family::Servers, vec![others[1].clone()]),
    ] {
        let mut writers = appenders(&store, family).await;
        for round in 0..20_u64 {
            let mut records = Vec::new();
            for entity in &entities {
                for sequence in round * 30 + 1..=round * 30 + 30 {
                    let mut one = record(entity, sequence, &format!("{entity} {sequence}"));
                    one.key = (sequence % 3 == 0).then(|| format!("${sequence}").into());
                    one.kind = 100 + (sequence % 5) as Kind;
                    records.push(one);
                }
            }
            count += records.len();
            number += 1;
            let batch = batch(number, records);
            append(&store, &mut writers, &batch).await.unwrap();
        }
        let gone = entities
            .iter()
            .map(|entity| erasure(entity, 7, 601, "gone"));
        let gone: Vec<_> = gone.collect();
        count += gone.len();
        number += 1;
        append(&store, &mut writers, &erasures(number, gone))
            .await
            .unwrap();
    }
    count
}

/// A target that is cut off after so many pages, in the midst of the next one.
struct Cut {
    target: Arc<dyn HeldStore>,
    pages: AtomicUsize,
}

impl HeldStore for Cut {
    fn log(&self) -> Arc<dyn LogStore> {
        self.target.log()
    }

    fn is_unfinished(&self) -> StoreFuture<'_, bool> {
        self.target.is_unfinished()
    }

    fn begin(&self) -> StoreFuture<'_, ()> {
        self.target.begin()
    }

    fn complete(&self) -> StoreFuture<'_, ()> {
        self.target.complete()
    }

    fn check_hold(&self) -> StoreFuture<'_, ()> {
        self.target.check_hold()
    }

    fn put<'a>(&'a self, put: Put<'a>) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            if self.pages.fetch_sub(1, Ordering::SeqCst) > 1 {
                return self.target.put(put).await;
            }
            // What waits for the server is dropped there; what waits for nothing lands.
            let _ = tokio::time::timeout(Duration::ZERO, self.target.put(put)).await;
            Err(StoreError::Database("cut off".into()))
        })
    }

    fn snapshots<'a>(
        &'a self,
        family: Family,
        after: &'a str,
        limit: usize,
    ) -> StoreFuture<'a, Vec<(Entity, Snapshot)>> {
        self.target.snapshots(family, after, limit)
    }

    fn count_kinds(
        &self,
        shard: Shard,
        after: Position,
        to: Position,
    ) -> StoreFuture<'_, Vec<(Kind, u64)>> {
        self.target.count_kinds(shard, after, to)
    }
}

async fn what_is_cut_off_goes_on(from: Ground, to: Ground) {
    let count = populate(&from).await;
    let mut there = 0;
    for pages in [1, 2, 3] {
        let (source, target) = held(&from, &to).await;
        let cut = Arc::new(Cut {
            target,
            pages: AtomicUsize::new(pages),
        });
        let (migration, _) = Migration::begin(source, cut).await.unwrap();
        let outcome = bring(&migration).await;
        assert!(
            matches!(outcome, Err(MigrateError::Store { .. })),
            "{outcome:?}"
        );
        drop(migration);
        // Nobody takes it for a whole database.
        let opened = unlocked(|| open(to.config.clone())).await;
        let Err(StoreError::Incompatible(why)) = opened else {
            panic!("an unfinished target was opened");
        };
        assert!(why.contains("playhouse migrate"), "{why}");
        let refused = unlocked(|| hold(to.config.clone(), Side::From)).await.err();
        assert!(matches!(refused, Some(StoreError::Incompatible(_))));
    }
    let (source, target) = held(&from, &to).await;
    let (migration, beginning) = Migration::begin(source, target).await.unwrap();
    if let Beginning::Partial(records) = beginning {
        there = records;
    }
    assert!(there > 0 && (there as usize) < count, "{beginning:?}");
    let verified = bring(&migration).await.unwrap();
    assert_eq!(verified.records() as usize, count);
    assert_eq!(verified.erased, 9);
    drop(migration);
    let (source, target) = held(&from, &to).await;
    let (_, beginning) = Migration::begin(source, target).await.unwrap();
    assert_eq!(beginning, Beginning::Complete);
}

#[test]
fn what_is_cut_off_goes_on_to_postgres() {
    let (from, to) = (Ground::sqlite(2), Ground::postgres(1));
    run(what_is_cut_off_goes_on(from, to));
}

#[test]
fn what_is_cut_off_goes_on_to_several_databases() {
    let (from, to) = (Ground::sqlite(2), Ground::several(2, 1));
    run(what_is_cut_off_goes_on(from, to));
}

#[test]
fn what_is_cut_off_goes_on_to_sqlite() {
    let (from, to) = (Ground::postgres(2), Ground::sqlite(1));
    run(what_is_cut_off_goes_on(from, to));
}

#[test]
fn the_targets_of_others_are_refused() {
    let grounds = [Ground::postgres(1), Ground::sqlite(1)];
    for to in grounds {
        run(async {
            let from = Ground::sqlite(1);
            populate(&from).await;
            {
                let store = to.open().await;
                let mut writers = appenders(&store, Family::Rooms).await;
                let batch = batch(1, vec![record(&rooms(1)[0], 1, "mine")]);
                append(&store, &mut writers, &batch).await.unwrap();
            }
            let (source, target) = held(&from, &to).await;
            let refused = Migration::begin(source, target).await.err();
            assert!(
                matches!(refused, Some(MigrateError::Foreign(_))),
                "{refused:?}"
            );
        });
    }
}

#[test]
fn the_beginning_of_another_source_is_refused() {
    run(async {
        let (one, other, to) = (Ground::sqlite(1), Ground::sqlite(1), Ground::sqlite(1));
        populate(&one).await;
        {
            let store = other.open().await;
            let mut writers = appenders(&store, Family::Rooms).await;
            let records = rooms(7)
                .iter()
                .map(|room| record(room, 1, "other"))
                .collect();
            append(&store, &mut writers, &batch(9, records))
                .await
                .unwrap();
        }
        {
            let (source, target) = held(&other, &to).await;
            let (migration, _) = Migration::begin(source, target).await.unwrap();
            migration.copy_records(&mut |_| {}).await.unwrap();
        }
        let (source, target) = held(&one, &to).await;
        let refused = Migration::begin(source, target).await.err();
        assert!(
            matches!(refused, Some(MigrateError::Foreign(_))),
            "{refused:?}"
        );
    });
}

#[test]
fn what_is_in_use_is_not_migrated() {
    for ground in [Ground::sqlite(1), Ground::postgres(1)] {
        run(async {
            let store = ground.open().await;
            let writers = appenders(&store, Family::Users).await;
            let refused = hold(ground.config.clone(), Side::From).await.err();
            assert!(
                matches!(refused, Some(StoreError::Locked(_))),
                "{refused:?}"
            );
            drop((writers, store));
            let held = patiently(&ground, Side::From).await;
            // And what is being migrated is not written.
            let refused = match open(ground.config.clone()).await {
                Ok(store) => {
                    let opened = store.open_appender(Family::Users, 0).await;
                    opened.err()
                }
                Err(error) => Some(error),
            };
            assert!(
                matches!(refused, Some(StoreError::Locked(_))),
                "{refused:?}"
            );
            drop(held);
        });
    }
}

#[test]
fn there_must_be_something_to_migrate() {
    for ground in [Ground::sqlite(1), Ground::postgres(1)] {
        run(async {
            let refused = hold(ground.config.clone(), Side::From).await.err();
            assert!(matches!(refused, Some(StoreError::Incompatible(_))));
            // Looking has made nothing.
            let refused = hold(ground.config.clone(), Side::From).await.err();
            assert!(matches!(refused, Some(StoreError::Incompatible(_))));
        });
    }
}

#[test]
fn what_is_copied_wrongly_is_found() {
    run(async {
        let (from, to) = (Ground::sqlite(1), Ground::sqlite(1));
        populate(&from).await;
        let (source, target) = held(&from, &to).await;
        let (migration, _) = Migration::begin(source, target).await.unwrap();
        migration.copy_records(&mut |_| {}).await.unwrap();
        let DatabaseConfig::Sqlite { folder, .. } = &to.config else {
            panic!("not SQLite");
        };
        let file = rusqlite::Connection::open(folder.join("log/users-0.db")).unwrap();
        // No chain covers a key.
        let key = "UPDATE log_users SET key = 'other' WHERE sequence = 3";
        assert_eq!(file.execute(key, ()).unwrap(), 1);
        let outcome = bring(&migration).await;
        assert!(
            matches!(outcome, Err(MigrateError::Different { position: 3, .. })),
            "{outcome:?}"
        );
        file.execute("UPDATE log_users SET key = '$3' WHERE sequence = 3", ())
            .unwrap();
        let erased = "UPDATE log_users SET payload = x'00' WHERE sequence = 7";
        assert_eq!(file.execute(erased, ()).unwrap(), 1);
        let outcome = bring(&migration).await;
        assert!(
            matches!(outcome, Err(MigrateError::Different { position: 7, .. })),
            "{outcome:?}"
        );
    });
}

async fn readers_and_snapshots_are_brought(from: Ground, to: Ground) {
    populate(&from).await;
    let room = &rooms(1)[0];
    let (shard, parked) = {
        let store = from.open().await;
        let shard = store.layout().shard_of(room);
        let snapshot = Snapshot {
            sequence: 5,
            version: 3,
            payload: "state".into(),
        };
        store.save_snapshot(room, snapshot).await.unwrap();
        let stored = store.read_shard(shard, 0, 1).await.unwrap();
        let parked =
            ["errands", "relations_1"].map(|name| Parked::new(name, &stored[0], "0.1", &"because"));
        let cursors = ["errands", "relations_1", "relations_0"].map(|name| CursorAdvance {
            name,
            shard,
            from: None,
            position: 12,
        });
        let parks = parked.iter().map(Parked::park).collect();
        let applied = store.models().apply(parks, cursors.to_vec()).await;
        applied.unwrap();
        (shard, parked)
    };
    migrate(&from, &to).await;
    let store = to.open().await;
    let snapshot = store.load_snapshot(room).await.unwrap().unwrap();
    assert_eq!((snapshot.sequence, snapshot.version), (5, 3));
    assert_eq!(snapshot.payload, "state");
    let models = store.models();
    // What is folded is folded again, so its positions stay behind.
    let read = positions::all(&*models).await.unwrap();
    let expected = positions::ReaderPosition {
        name: "errands".to_owned(),
        shard,
        position: 12,
    };
    assert_eq!(read, [expected]);
    let brought = models::parked::all(&*models, 10).await.unwrap();
    assert_eq!(brought, [parked[0].clone()]);
}

#[test]
fn readers_and_snapshots_are_brought_to_postgres() {
    let (from, to) = (Ground::sqlite(1), Ground::postgres(1));
    run(readers_and_snapshots_are_brought(from, to));
}

#[test]
fn readers_and_snapshots_are_brought_to_sqlite() {
    let (from, to) = (Ground::several(2, 1), Ground::sqlite(1));
    run(readers_and_snapshots_are_brought(from, to));
}

//! A house in several databases: what lies where, and what is refused when the addresses are not what they were.

use std::sync::Arc;

use postgres::{Client, NoTls};
use uuid::Uuid;

use super::{
    Ground, append, appenders, batch, cluster, migrating, open_with_layout, record, rooms, run,
    unlocked,
};
use crate::{
    address::{Family, Layout},
    drivers::{DatabaseConfig, hold, open, open_beside},
    migrate::port::Side,
    port::{LogStore, StoreError},
    register::{Beat, Claim, NodeName, Standing},
};

/// Asks one of the databases from a thread of its own.
fn ask<T: Send + 'static>(
    ground: &Ground,
    database: usize,
    work: impl FnOnce(&mut Client) -> T + Send + 'static,
) -> T {
    let dsn = ground.dsns()[database].clone();
    let asked = std::thread::spawn(move || work(&mut Client::connect(&dsn, NoTls).unwrap()));
    asked.join().unwrap()
}

fn number(ground: &Ground, database: usize, sql: &'static str) -> i64 {
    ask(ground, database, move |client| {
        client.query_one(sql, &[]).unwrap().get(0)
    })
}

async fn refused(config: DatabaseConfig) -> String {
    match open(config).await {
        Err(StoreError::Incompatible(why)) => why,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it was opened"),
    }
}

async fn write_rooms(store: &Arc<dyn LogStore>, sequence: u64) {
    let mut writers = appenders(store, Family::Rooms).await;
    let records = rooms(20);
    let records = records.iter().map(|room| record(room, sequence, "a"));
    let batch = batch(sequence.into(), records.collect());
    append(store, &mut writers, &batch).await.unwrap();
}

#[test]
fn who_only_reads_changes_nothing() {
    let ground = Ground::several(2, 1);
    let beside = || async { open_beside(ground.config.clone()).await.err() };
    run(async {
        let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
        assert!(matches!(beside().await, Some(StoreError::Incompatible(_))));
        assert_eq!(number(&ground, 0, tables), 0, "an empty one stays so");
        ground.open().await;
        assert!(beside().await.is_none());
        let older = "UPDATE meta SET value = value - 1 WHERE name = 'version' RETURNING value";
        let version = number(&ground, 1, older);
        assert!(matches!(beside().await, Some(StoreError::Incompatible(_))));
        let now = "SELECT value FROM meta WHERE name = 'version'";
        assert_eq!(number(&ground, 1, now), version);
    });
}

#[test]
fn each_database_holds_its_shards() {
    let ground = Ground::several(2, 1);
    run(async {
        let store = ground.open().await;
        write_rooms(&store, 1).await;
        let heads = store.heads(Family::Rooms).await.unwrap();
        let written: u64 = heads.iter().map(|head| head.position).sum();
        assert_eq!((heads.len(), written), (4, 20));
        for database in [0, 1] {
            let shards = "SELECT count(*) FROM shard_rooms";
            assert_eq!(number(&ground, database, shards), 2);
            let odd =
                "SELECT COALESCE(max(shard % 2), 0) + COALESCE(min(shard % 2), 0) FROM shard_rooms";
            assert_eq!(number(&ground, database, odd), 2 * database as i64);
            let records = "SELECT count(*) FROM log_rooms";
            let here = heads
                .iter()
                .filter(|head| usize::from(head.shard.number) % 2 == database);
            let here: u64 = here.map(|head| head.position).sum();
            assert_eq!(number(&ground, database, records), here as i64);
            let index = "SELECT value FROM meta WHERE name = 'database_index'";
            assert_eq!(number(&ground, database, index), database as i64);
        }
        // Who may write what is said in the first alone.
        let places = "SELECT count(*) FROM placement";
        assert_eq!(number(&ground, 0, places), 12);
        assert_eq!(number(&ground, 1, places), 0);
        let house = "SELECT value FROM meta WHERE name = 'house'";
        assert_eq!(number(&ground, 0, house), number(&ground, 1, house));
    });
}

#[test]
fn a_database_that_is_away_silences_its_own_shards_only() {
    let ground = Ground::several(2, 1);
    run(async {
        let store = ground.open().await;
        write_rooms(&store, 1).await;
        let all = store.heads(Family::Rooms).await.unwrap();
        let known = store.known_heads(Family::Rooms).await.unwrap();
        assert_eq!(known.heads, all);
        assert!(known.silent.is_empty() && known.trouble.is_none());
        let rename = |database, sql: &'static str| {
            ask(&ground, database, move |client| {
                client.batch_execute(sql).unwrap();
            });
        };
        rename(1, "ALTER TABLE shard_rooms RENAME TO away");
        assert!(store.heads(Family::Rooms).await.is_err());
        let known = store.known_heads(Family::Rooms).await.unwrap();
        let there: Vec<_> = all
            .iter()
            .filter(|head| head.shard.number % 2 == 0)
            .copied()
            .collect();
        assert_eq!(known.heads, there);
        assert_eq!(known.silent, [1, 3]);
        assert!(known.trouble.is_some());
        rename(0, "ALTER TABLE shard_rooms RENAME TO away");
        assert!(store.known_heads(Family::Rooms).await.is_err());
        for database in [0, 1] {
            rename(database, "ALTER TABLE away RENAME TO shard_rooms");
        }
        assert_eq!(store.heads(Family::Rooms).await.unwrap(), all);
    });
}

#[test]
fn addresses_that_are_not_those_of_the_house_are_refused() {
    let ground = Ground::several(2, 1);
    let other = Ground::several(2, 1);
    let alone = Ground::postgres(1);
    let empty = cluster::new_database();
    run(async {
        write_rooms(&ground.open().await, 1).await;
        drop((other.open().await, alone.open().await));
        let [first, second] = ground.dsns() else {
            panic!("two databases");
        };
        let (stranger, whole) = (&other.dsns()[1], &alone.dsns()[0]);
        let wrong: [(&[&String], &str); 9] = [
            (
                &[second, first],
                "address 1 leads to database 2, address 2 leads to database 1",
            ),
            (&[first], "database 1 of the 2"),
            (&[second], "database 2 of the 2"),
            (&[first, second, &empty], "the addresses are 3"),
            (&[first, &empty], "empty database"),
            (&[&empty, second], "empty database"),
            (&[first, first], "the same database"),
            (&[first, stranger], "another house"),
            (&[whole, &empty], "playhouse migrate"),
        ];
        for (dsns, word) in wrong {
            let dsns = dsns.iter().copied().cloned().collect();
            let why = refused(ground.at(dsns)).await;
            assert!(why.contains(word), "{word}: {why}");
        }
        // Nothing was made in the empty one.
        let made = Ground {
            config: ground.at(vec![empty]),
            ..Ground::sqlite(1)
        };
        let tables = "SELECT count(*) FROM pg_class WHERE relname = 'meta'";
        assert_eq!(number(&made, 0, tables), 0);
        // And with the right ones all goes on.
        write_rooms(&ground.open().await, 2).await;
    });
}

#[test]
fn what_was_begun_is_made_to_its_end() {
    let ground = Ground::several(3, 1);
    run(async {
        let all = ground.dsns().to_vec();
        drop(ground.open().await);
        // As if it had been cut off after the first one.
        let unmade = "DROP SCHEMA public CASCADE; CREATE SCHEMA public";
        for database in [1, 2] {
            ask(&ground, database, move |client| {
                client.batch_execute(unmade).unwrap();
            });
        }
        let why = refused(ground.at(all)).await;
        assert!(why.contains("empty database"), "{why}");
        let begun = "UPDATE meta SET value = 0 WHERE name = 'whole'";
        ask(&ground, 0, move |client| {
            client.batch_execute(begun).unwrap();
        });
        write_rooms(&ground.open().await, 1).await;
        let whole = "SELECT value FROM meta WHERE name = 'whole'";
        assert_eq!(number(&ground, 0, whole), 1);
    });
}

#[test]
fn nodes_that_start_together_make_one_house() {
    let ground = Ground::several(2, 1);
    run(async {
        let opened = (0..4).map(|_| open(ground.config.clone()));
        for store in futures_util::future::join_all(opened).await {
            assert_eq!(store.unwrap().layout(), Layout::default());
        }
    });
}

#[test]
fn there_are_no_more_databases_than_shards() {
    let ground = Ground::several(5, 1);
    run(async {
        let opened = open_with_layout(ground.config.clone(), ground.layout).await;
        let Err(StoreError::Incompatible(why)) = opened else {
            panic!("it was opened");
        };
        assert!(why.contains("4 shards"), "{why}");
    });
}

#[test]
fn an_older_program_does_not_take_one_for_all() {
    let ground = Ground::several(2, 1);
    run(async {
        drop(ground.open().await);
        let oldest = "SELECT value FROM meta WHERE name = 'oldest'";
        for database in [0, 1] {
            assert_eq!(number(&ground, database, oldest), 7);
        }
    });
}

#[test]
fn one_that_was_made_before_is_the_only_one() {
    let ground = Ground::postgres(1);
    run(async {
        drop(ground.open().await);
        let older = "DELETE FROM meta WHERE name IN ('databases', 'database_index', 'house', 'whole'); \
             UPDATE meta SET value = 6 WHERE name = 'version'";
        ask(&ground, 0, move |client| {
            client.batch_execute(older).unwrap();
        });
        write_rooms(&ground.open().await, 1).await;
        let count = "SELECT value FROM meta WHERE name = 'databases'";
        assert_eq!(number(&ground, 0, count), 1);
    });
}

#[test]
fn a_migration_locks_all_of_them() {
    let ground = Ground::several(2, 1);
    run(async {
        let store = ground.open().await;
        // A writer of the second alone.
        let writer = store.open_appender(Family::Users, 1).await.unwrap();
        let locked = hold(ground.config.clone(), Side::From).await.err();
        let Some(StoreError::Locked(why)) = locked else {
            panic!("{locked:?}");
        };
        assert!(why.contains("database 2 of 2"), "{why}");
        drop(writer);
        let held = unlocked(|| hold(ground.config.clone(), Side::From)).await;
        let held = held.unwrap();
        for index in 0..store.appenders(Family::Users) {
            let refused = store.open_appender(Family::Users, index).await.err();
            assert!(
                matches!(refused, Some(StoreError::Locked(_))),
                "{refused:?}"
            );
        }
        held.check_hold().await.unwrap();
    });
}

#[test]
fn claims_go_on_after_a_migration() {
    let from = Ground::several(2, 1);
    let to = Ground::several(2, 1);
    run(async {
        let room = &rooms(1)[0];
        let shard = {
            let store = from.open().await;
            let shard = store.layout().shard_of(room);
            let index = usize::from(shard.number) % store.appenders(Family::Rooms);
            let writer = unlocked(|| store.open_appender(Family::Rooms, index)).await;
            let mut writer = writer.unwrap();
            // The shard has gone from node to node many times.
            writer.take_under(&[Claim::new(shard, 70)]).await.unwrap();
            let first = batch(1, vec![record(room, 1, "a")]);
            writer.append(&first).await.unwrap();
            shard
        };
        migrating::migrate(&from, &to).await;
        let store = to.open().await;
        let register = store.register().unwrap();
        let node = Beat {
            name: NodeName::parse("a").unwrap(),
            incarnation: Uuid::from_u128(1),
            address: "a.example:1".into(),
            roles: Vec::new(),
            standing: Standing::Serving,
            facts: "{}".into(),
            lease_ms: 60_000,
        };
        register.join(&node).await.unwrap();
        let claims = register.claim(node.incarnation, &[shard]).await.unwrap();
        assert_eq!(claims, [Claim::new(shard, 71)]);
        let index = usize::from(shard.number) % store.appenders(Family::Rooms);
        let writer = unlocked(|| store.open_appender(Family::Rooms, index)).await;
        let mut writer = writer.unwrap();
        writer.take_under(&claims).await.unwrap();
        let second = batch(2, vec![record(room, 2, "b")]);
        assert_eq!(writer.append(&second).await.unwrap()[0].position, 2);
    });
}

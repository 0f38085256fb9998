//! What only a server can get wrong.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use postgres::{Client, NoTls};

use super::{
    Ground, append, appender, appenders, batch, erasure, erasures, record, rooms, rooms_apart, run,
};
use crate::{
    address::Family,
    drivers::{DatabaseConfig, PostgresBounds, PostgresConfig, open},
    port::{LogStore, Statement, StoreError},
    verify::{Damage, verify_shard},
};

/// Runs SQL from a thread of its own: the blocking client does not work inside a runtime.
pub(super) fn beside<T: Send + 'static>(
    ground: &Ground,
    work: impl FnOnce(&mut Client) -> T + Send + 'static,
) -> std::thread::JoinHandle<T> {
    let dsn = ground.dsns()[0].clone();
    std::thread::spawn(move || work(&mut Client::connect(&dsn, NoTls).unwrap()))
}

#[test]
fn a_flipped_byte_is_found_where_it_is() {
    let ground = Ground::postgres(1);
    run(async {
        let store = ground.open().await;
        let room = &rooms(1)[0];
        let mut writers = appenders(&store, Family::Rooms).await;
        let records = (1..=5).map(|sequence| record(room, sequence, "text"));
        append(&store, &mut writers, &batch(1, records.collect()))
            .await
            .unwrap();
        let text = "UPDATE log_rooms SET payload = 'texu'::bytea WHERE sequence = 3";
        beside(&ground, move |client| client.batch_execute(text).unwrap())
            .join()
            .unwrap();
        let shard = store.layout().shard_of(room);
        let damage = verify_shard(&*store, shard).await.unwrap_err();
        assert!(
            matches!(damage, Damage::Record { position: 3, .. }),
            "{damage}"
        );
    });
}

#[test]
fn nothing_erased_can_be_read_by_sql() {
    let ground = Ground::postgres(1);
    run(async {
        let store = ground.open().await;
        let room = &rooms(1)[0];
        let mut writers = appenders(&store, Family::Rooms).await;
        let long = "PLAINTEXT".repeat(2_000);
        let records = vec![record(room, 1, "PLAINTEXT"), record(room, 2, &long)];
        append(&store, &mut writers, &batch(1, records))
            .await
            .unwrap();
        let gone = vec![erasure(room, 1, 3, "gone"), erasure(room, 2, 4, "gone")];
        append(&store, &mut writers, &erasures(2, gone))
            .await
            .unwrap();
        store.scrub().await.unwrap();
        let (found, dead) = beside(&ground, |client| {
            let found = "SELECT count(*) FROM log_rooms WHERE position('PLAINTEXT'::bytea IN payload) > 0";
            let found: i64 = client.query_one(found, &[]).unwrap().get(0);
            // What is too long for a row stands in a table of its own, which must be empty again.
            let aside = "SELECT reltoastrelid::regclass::text FROM pg_class WHERE oid = 'log_rooms'::regclass";
            let aside: String = client.query_one(aside, &[]).unwrap().get(0);
            let count = format!("SELECT count(*) FROM {aside}");
            let dead: i64 = client.query_one(&count, &[]).unwrap().get(0);
            (found, dead)
        })
        .join()
        .unwrap();
        assert_eq!((found, dead), (0, 0));
    });
}

#[test]
fn what_is_acknowledged_is_on_the_disk_whatever_the_server_is_told() {
    let ground = Ground::postgres(1);
    run(async {
        let store = ground.open().await;
        let room = &rooms(1)[0];
        let hasty = "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET synchronous_commit = off', current_database()); END $$;
            CREATE TABLE seen (setting text);
            CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS
                $$ BEGIN INSERT INTO seen VALUES (current_setting('synchronous_commit')); RETURN NEW; END $$;
            CREATE TRIGGER see AFTER INSERT ON log_rooms FOR EACH ROW EXECUTE FUNCTION see();";
        beside(&ground, move |client| client.batch_execute(hasty).unwrap())
            .join()
            .unwrap();
        let mut writers = appenders(&store, Family::Rooms).await;
        append(
            &store,
            &mut writers,
            &batch(1, vec![record(room, 1, "text")]),
        )
        .await
        .unwrap();
        let seen: Vec<(String, String)> = beside(&ground, |client| {
            let sql = "SELECT setting, current_setting('synchronous_commit') FROM seen";
            let rows = client.query(sql, &[]).unwrap();
            rows.iter().map(|row| (row.get(0), row.get(1))).collect()
        })
        .join()
        .unwrap();
        let is_kept = |(own, of_others): &(String, String)| own == "on" && of_others == "off";
        assert!(!seen.is_empty() && seen.iter().all(is_kept), "{seen:?}");
    });
}

/// Someone holds the heads, so that the next append waits; then its connection is ended from outside.
fn cut_off(ground: &Ground) -> std::thread::JoinHandle<bool> {
    let (held, wait_held) = std::sync::mpsc::channel();
    let killer = beside(ground, move |client| {
        let mut transaction = client.transaction().unwrap();
        transaction
            .execute("SELECT 1 FROM shard_rooms FOR UPDATE", &[])
            .unwrap();
        held.send(()).unwrap();
        let deadline = Instant::now() + Duration::from_secs(120);
        while Instant::now() < deadline {
            let ended = transaction
                .execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
                    &[],
                )
                .unwrap();
            if ended > 0 {
                return true;
            }
            transaction
                .execute("SELECT pg_stat_clear_snapshot()", &[])
                .unwrap();
        }
        false
    });
    wait_held.recv().unwrap();
    killer
}

#[test]
fn an_append_that_is_cut_off_is_settled() {
    let ground = Ground::postgres(1);
    run(async {
        let store = ground.open().await;
        let room = &rooms(1)[0];
        let mut writer = appender(&store, Family::Rooms, 0).await;
        let first = batch(1, vec![record(room, 1, "a")]);
        writer.append(&first).await.unwrap();
        let killer = cut_off(&ground);
        let second = batch(2, vec![record(room, 2, "b")]);
        let doubt = writer.append(&second).await;
        assert!(matches!(doubt, Err(StoreError::InDoubt(_))), "{doubt:?}");
        assert!(killer.join().unwrap());
        let again = writer.append(&second).await;
        assert!(matches!(again, Err(StoreError::InDoubt(_))), "{again:?}");
        assert_eq!(writer.settle(&second).await.unwrap(), None);
        assert_eq!(writer.append(&second).await.unwrap()[0].position, 2);
        let shard = store.layout().shard_of(room);
        assert_eq!(verify_shard(&*store, shard).await.unwrap().position, 2);
    });
}

#[test]
fn an_append_in_doubt_is_settled_although_a_shard_was_lost() {
    let ground = Ground::postgres(1);
    run(async {
        let store = ground.open().await;
        let rooms = rooms_apart(&store);
        let shards = rooms.each_ref().map(|room| store.layout().shard_of(room));
        let mut writer = appender(&store, Family::Rooms, 0).await;
        let mut other = store.open_appender(Family::Rooms, 0).await.unwrap();
        let killer = cut_off(&ground);
        let both = rooms.iter().map(|room| record(room, 1, "a"));
        let both = batch(1, both.collect());
        let doubt = writer.append(&both).await;
        assert!(matches!(doubt, Err(StoreError::InDoubt(_))), "{doubt:?}");
        assert!(killer.join().unwrap());
        other.take(&[shards[1].number]).await.unwrap();
        // The shard that is left tells.
        assert_eq!(writer.settle(&both).await.unwrap(), None);
        let kept = batch(2, vec![record(&rooms[0], 1, "b")]);
        assert_eq!(writer.append(&kept).await.unwrap()[0].position, 1);
        let lost = batch(3, vec![record(&rooms[1], 1, "b")]);
        let lost = writer.append(&lost).await;
        assert!(
            matches!(lost, Err(StoreError::Fenced(lost)) if lost == shards[1]),
            "{lost:?}"
        );
        // None is left.
        let killer = cut_off(&ground);
        let last = batch(4, vec![record(&rooms[0], 2, "c")]);
        let doubt = writer.append(&last).await;
        assert!(matches!(doubt, Err(StoreError::InDoubt(_))), "{doubt:?}");
        assert!(killer.join().unwrap());
        other.take(&[shards[0].number]).await.unwrap();
        let lost = writer.settle(&last).await;
        assert!(
            matches!(lost, Err(StoreError::Fenced(lost)) if lost == shards[0]),
            "{lost:?}"
        );
        // The doubt has ended: what comes back is written.
        let back = shards.map(|shard| shard.number);
        writer.take(&back).await.unwrap();
        let back = vec![record(&rooms[0], 2, "d"), record(&rooms[1], 1, "d")];
        assert_eq!(writer.append(&batch(5, back)).await.unwrap().len(), 2);
    });
}

#[test]
fn of_several_lost_shards_that_of_the_batch_is_told() {
    let ground = Ground::postgres(1);
    run(async {
        let store = ground.open().await;
        let rooms = rooms_apart(&store);
        let mut old = appender(&store, Family::Rooms, 0).await;
        let _new = appender(&store, Family::Rooms, 0).await;
        for (number, room) in (1..).zip(&rooms) {
            let shard = store.layout().shard_of(room);
            let lost = old.append(&batch(number, vec![record(room, 1, "a")])).await;
            assert!(
                matches!(lost, Err(StoreError::Fenced(lost)) if lost == shard),
                "{lost:?}"
            );
        }
    });
}

#[test]
fn broken_connections_are_made_again() {
    let ground = Ground::postgres(1);
    run(async {
        let store = ground.open().await;
        let room = &rooms(1)[0];
        let mut writer = appender(&store, Family::Rooms, 0).await;
        for sequence in 1..=3 {
            let next = batch(u128::from(sequence), vec![record(room, sequence, "a")]);
            match writer.append(&next).await {
                Err(StoreError::InDoubt(_)) => {
                    if writer.settle(&next).await.unwrap().is_none() {
                        writer.append(&next).await.unwrap();
                    }
                }
                landed => assert_eq!(landed.unwrap()[0].position, sequence),
            }
            let heads = store
                .entity_heads(std::slice::from_ref(room))
                .await
                .unwrap();
            assert_eq!(heads[0].unwrap().sequence, sequence);
            beside(&ground, |client| {
                client
                    .execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
                        &[],
                    )
                    .unwrap()
            })
            .join()
            .unwrap();
        }
    });
}

#[test]
fn nodes_that_start_together_make_one_database() {
    let ground = Ground::postgres(2);
    run(async {
        let (one, two) = tokio::join!(open(ground.config.clone()), open(ground.config.clone()));
        assert_eq!(one.unwrap().layout(), two.unwrap().layout());
        assert_eq!(ground.open().await.layout().shards, 16);
    });
}

#[test]
fn a_newer_database_is_refused() {
    let ground = Ground::postgres(1);
    run(async {
        drop(ground.open().await);
        let text = "UPDATE meta SET value = 9000 WHERE name IN ('version', 'oldest')";
        beside(&ground, move |client| client.batch_execute(text).unwrap())
            .join()
            .unwrap();
        let Err(StoreError::Incompatible(why)) = open(ground.config.clone()).await else {
            panic!("a newer database was opened");
        };
        assert!(why.contains("9000") && why.contains(&crate::ground::VERSION.to_string()));
    });
}

/// How long a question may take where nobody may ask long, seconds: a short one is answered in that time by a server that stalls, too.
const SHORT_S: u64 = 6;

/// A store of which nobody may ask long, nor much at once.
async fn impatient(ground: &Ground) -> Arc<dyn LogStore> {
    drop(ground.open().await);
    let DatabaseConfig::Postgres(config) = ground.config.clone() else {
        panic!("not PostgreSQL");
    };
    let bounds = PostgresBounds {
        connections: 2,
        statement_timeout: Duration::from_secs(SHORT_S),
    };
    let config = PostgresConfig { bounds, ..config };
    open(DatabaseConfig::Postgres(config)).await.unwrap()
}

/// Waits until so many of the store's connections, and no more, are in such a state; nobody else's are counted.
async fn connections(ground: &Ground, state: &'static str, expected: i64) {
    for _ in 0..10_000 {
        let count = beside(ground, move |client| {
            let sql = "SELECT count(*) FROM pg_stat_activity \
                 WHERE datname = current_database() AND application_name = 'playhouse' AND state = $1";
            client.query_one(sql, &[&state]).unwrap().get::<_, i64>(0)
        });
        if count.join().unwrap() == expected {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("there are never {expected} connections that are {state}");
}

fn slow() -> Statement {
    Statement {
        sql: "SELECT pg_sleep(60)::text",
        values: Vec::new(),
    }
}

#[test]
fn a_statement_that_takes_too_long_is_ended() {
    let ground = Ground::postgres(1);
    run(async {
        let store = impatient(&ground).await;
        let models = store.models();
        // More than there are connections: all are told. Whoever a machine that stalls keeps from a connection for too long asks again.
        let asked = (0..3).map(|_| async {
            let deadline = Instant::now() + Duration::from_secs(120);
            loop {
                let Err(StoreError::Database(why)) = models.query(slow()).await else {
                    panic!("it was not ended");
                };
                if why.contains("57014") || Instant::now() > deadline {
                    break why;
                }
            }
        });
        for why in futures_util::future::join_all(asked).await {
            assert!(why.contains("57014"), "{why}");
        }
        // The connections serve on, and there are no more than were asked for.
        store.heads(Family::Rooms).await.unwrap();
        connections(&ground, "idle", 2).await;
    });
}

#[test]
fn who_gives_up_costs_no_connection() {
    let ground = Ground::postgres(1);
    run(async {
        let store = impatient(&ground).await;
        let models = store.models();
        let connection = || Statement {
            sql: "SELECT pg_backend_pid()::bigint FROM pg_sleep(0.05)",
            values: Vec::new(),
        };
        let asked = models.query(connection()).await.unwrap();
        let long = Statement {
            sql: "SELECT pg_sleep(1)::text",
            values: Vec::new(),
        };
        let given_up = tokio::time::timeout(Duration::from_millis(10), models.query(long)).await;
        assert!(given_up.is_err());
        // It is used again when what was asked over it has ended; others may be used until then, and before it: two are asked at the same time.
        let deadline = Instant::now() + Duration::from_secs(120);
        loop {
            let both = tokio::join!(models.query(connection()), models.query(connection()));
            if both.0.unwrap() == asked || both.1.unwrap() == asked {
                break;
            }
            assert!(Instant::now() < deadline, "it is not used again");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
}

#[test]
fn a_scrub_may_take_longer_than_a_question() {
    let ground = Ground::postgres(1);
    run(async {
        let store = impatient(&ground).await;
        // Somebody has the table for a while: the scrub waits.
        let (held, wait_held) = std::sync::mpsc::channel();
        let holder = beside(&ground, move |client| {
            let mut transaction = client.transaction().unwrap();
            transaction
                .batch_execute("LOCK TABLE log_rooms IN SHARE MODE")
                .unwrap();
            held.send(()).unwrap();
            let pause = format!("SELECT pg_sleep({})", SHORT_S + 2);
            transaction.batch_execute(&pause).unwrap();
        });
        wait_held.recv().unwrap();
        store.scrub().await.unwrap();
        holder.join().unwrap();
    });
}

#[test]
fn new_tables_may_take_longer_than_a_question() {
    let ground = Ground::postgres(1);
    run(async {
        let store = impatient(&ground).await;
        let table = "CREATE TABLE IF NOT EXISTS slow_1 (name TEXT PRIMARY KEY)";
        let long = "SELECT pg_sleep(8)";
        store.models().create(&[table, long]).await.unwrap();
        // It is so for that alone.
        let asked = store.models().query(slow()).await;
        assert!(matches!(asked, Err(StoreError::Database(why)) if why.contains("57014")));
    });
}

#[test]
fn a_lease_goes_on_although_all_connections_are_busy() {
    let ground = Ground::postgres(1);
    run(async {
        let store = ground.open().await;
        let models = store.models();
        let asked = tokio::spawn(async move {
            futures_util::future::join_all((0..9).map(|_| models.query(slow()))).await
        });
        let connections_max = PostgresBounds::default().connections as i64;
        connections(&ground, "active", connections_max).await;
        store.register().unwrap().view().await.unwrap();
        assert!(!asked.is_finished());
        asked.abort();
    });
}

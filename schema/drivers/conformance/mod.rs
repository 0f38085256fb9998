//! One body of tests that both drivers pass.

mod appending;
mod backing_up;
mod cluster;
mod erasing;
mod folding;
mod handing_over;
mod migrating;
mod modelling;
mod neighbours;
mod postgres_only;
mod random;
mod reading;
mod registering;
mod searching;
mod several;
mod sqlite_only;

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use uuid::Uuid;

use crate::{
    address::{Entity, Family, Layout, Sequence},
    drivers::{DatabaseConfig, PostgresBounds, PostgresConfig, open_with_layout},
    port::{Batch, Erasure, LogAppender, LogStore, NewRecord, StoreError},
};

/// A database for one test.
struct Ground {
    config: DatabaseConfig,
    layout: Layout,
    /// Removed with the test.
    folder: tempfile::TempDir,
}

impl Ground {
    fn sqlite(writers: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            config: DatabaseConfig::Sqlite {
                folder: folder.path().join("data"),
                writers,
            },
            layout: Layout { shards: 4, era: 0 },
            folder,
        }
    }

    /// Must not be called inside a runtime.
    fn postgres(writers: usize) -> Self {
        Self::several(1, writers)
    }

    /// Over several databases. Must not be called inside a runtime.
    fn several(databases: usize, writers: usize) -> Self {
        Self {
            config: DatabaseConfig::Postgres(PostgresConfig {
                dsns: (0..databases).map(|_| cluster::new_database()).collect(),
                writers,
                owner: "test".into(),
                bounds: PostgresBounds::default(),
            }),
            layout: Layout { shards: 4, era: 0 },
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// The addresses of PostgreSQL.
    fn dsns(&self) -> &[String] {
        match &self.config {
            DatabaseConfig::Postgres(config) => &config.dsns,
            DatabaseConfig::Sqlite { .. } => panic!("not PostgreSQL"),
        }
    }

    /// The same with other addresses.
    fn at(&self, dsns: Vec<String>) -> DatabaseConfig {
        match self.config.clone() {
            DatabaseConfig::Postgres(config) => {
                DatabaseConfig::Postgres(PostgresConfig { dsns, ..config })
            }
            DatabaseConfig::Sqlite { .. } => panic!("not PostgreSQL"),
        }
    }

    async fn open(&self) -> Arc<dyn LogStore> {
        open_with_layout(self.config.clone(), self.layout)
            .await
            .unwrap()
    }
}

/// Runs a test as a writer's thread does: on a runtime of one thread.
fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(test)
}

/// Asks again as long as somebody has what is asked for: who was cut off, or has just let go, may need a moment to end.
async fn unlocked<T, F>(mut ask: impl FnMut() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        match ask().await {
            Err(StoreError::Locked(_)) if Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            told => return told,
        }
    }
}

/// Makes a module with every test of the suite for one driver.
macro_rules! suite {
    ($module:ident, $ground:expr, [$($area:ident :: $test:ident),* $(,)?]) => {
        mod $module {
            use super::*;
            $(
                #[test]
                fn $test() {
                    run(super::$area::$test($ground));
                }
            )*
        }
    };
}

/// The names of all tests, for each driver.
macro_rules! suites {
    ($($module:ident: $ground:expr),* $(,)?) => {
        $(suite!($module, $ground, [
            appending::positions_are_dense_over_shards_and_appenders,
            appending::a_second_owner_fences_the_first,
            appending::a_fenced_shard_is_taken_back,
            appending::only_own_shards_are_taken,
            appending::a_taken_number_is_refused_with_its_whole_batch,
            appending::the_newest_of_equal_keys_is_found,
            appending::heads_survive_reopening,
            appending::settling_tells_whether_a_batch_landed,
            appending::a_foreign_shard_is_refused,
            backing_up::a_clock_that_was_wrong_costs_nothing,
            backing_up::a_house_begins_anew_from_a_moment,
            reading::ranges_run_both_ways,
            reading::sizes_are_told_by_kind,
            reading::records_are_found_by_key_and_by_number,
            reading::heads_of_entities_come_in_the_order_asked,
            reading::an_older_snapshot_never_replaces_a_newer_one,
            erasing::an_erasure_keeps_the_chain,
            erasing::one_note_speaks_of_several,
            erasing::what_is_not_there_cannot_be_erased,
            erasing::what_is_erased_or_dropped_is_scrubbed,
            folding::memberships_are_found_both_ways,
            folding::members_that_a_state_brings_are_found,
            neighbours::who_has_nobody_in_a_room_is_no_neighbour,
            neighbours::who_may_be_in_a_room_is_a_neighbour,
            folding::accounts_are_listed,
            folding::accounts_are_found_and_sorted,
            folding::devices_not_seen_for_long_are_found,
            folding::relations_are_found_and_go,
            folding::aliases_and_listed_rooms_are_found,
            modelling::statements_and_cursors_land_together,
            modelling::values_come_back_as_they_went,
            modelling::models_can_be_dropped,
            modelling::a_cursor_moves_from_where_it_stands,
            searching::messages_are_found_by_their_words,
            searching::what_is_gone_is_not_found,
        ]);)*
    };
}

suites! {
    sqlite: Ground::sqlite(1),
    sqlite_files: Ground::sqlite(3),
    postgres: Ground::postgres(1),
    postgres_connections: Ground::postgres(3),
    postgres_databases: Ground::several(2, 1),
    postgres_databases_connections: Ground::several(2, 2),
}

fn record(entity: &Entity, sequence: Sequence, text: &str) -> NewRecord {
    NewRecord {
        entity: entity.clone(),
        sequence,
        kind: 100,
        key: None,
        payload: Bytes::copy_from_slice(text.as_bytes()),
    }
}

fn batch(id: u128, records: Vec<NewRecord>) -> Batch {
    Batch {
        id: Uuid::from_u128(id),
        at_ms: 1_700_000_000_000 + id as u64,
        records,
        erasures: Vec::new(),
    }
}

fn erasures(id: u128, erasures: Vec<Erasure>) -> Batch {
    Batch {
        erasures,
        ..batch(id, Vec::new())
    }
}

fn erasure(entity: &Entity, target: Sequence, note: Sequence, text: &str) -> Erasure {
    Erasure {
        entity: entity.clone(),
        target,
        others: Vec::new(),
        note,
        payload: Bytes::copy_from_slice(text.as_bytes()),
    }
}

fn rooms(count: usize) -> Vec<Entity> {
    (0..count)
        .map(|number| Entity::room(&format!("!{number}:example.org")))
        .collect()
}

/// Two rooms of different shards.
fn rooms_apart(store: &Arc<dyn LogStore>) -> [Entity; 2] {
    let shard = |room: &Entity| store.layout().shard_of(room);
    let first = rooms(1).remove(0);
    let mut others = rooms(50).into_iter();
    let other = others.find(|other| shard(other) != shard(&first));
    [first, other.unwrap()]
}

/// An appender that has taken all shards that belong to it.
async fn appender(store: &Arc<dyn LogStore>, family: Family, index: usize) -> Box<dyn LogAppender> {
    let appender = unlocked(|| store.open_appender(family, index)).await;
    let mut appender = appender.unwrap();
    let count = store.appenders(family);
    let all: Vec<_> = (0..store.layout().shards)
        .skip(index)
        .step_by(count)
        .collect();
    appender.take(&all).await.unwrap();
    appender
}

/// All appenders of a family.
async fn appenders(store: &Arc<dyn LogStore>, family: Family) -> Vec<Box<dyn LogAppender>> {
    let mut appenders = Vec::new();
    for index in 0..store.appenders(family) {
        appenders.push(appender(store, family, index).await);
    }
    appenders
}

/// Appends each record with the appender that its shard belongs to.
async fn append(
    store: &Arc<dyn LogStore>,
    appenders: &mut [Box<dyn LogAppender>],
    batch: &Batch,
) -> Result<(), StoreError> {
    let count = appenders.len();
    for (index, appender) in appenders.iter_mut().enumerate() {
        let mine =
            |entity: &Entity| usize::from(store.layout().shard_of(entity).number) % count == index;
        let mut part = batch.clone();
        part.records.retain(|record| mine(&record.entity));
        part.erasures.retain(|erasure| mine(&erasure.entity));
        if part.records.is_empty() && part.erasures.is_empty() {
            continue;
        }
        let landed = appender.append(&part).await?;
        assert_eq!(landed.len(), part.records.len());
    }
    Ok(())
}

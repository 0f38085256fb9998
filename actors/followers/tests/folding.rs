//! How far a model has come is known at once.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use playhouse_schema::{
    address::Family,
    models::{AnyModel, Model},
    port::{CursorAdvance, LogStore, Statement, StoreError, StoredRecord, Value},
    register::NodeName,
};

use super::Ground;
use crate::{
    cluster::{Courier, Map, tests::net::Net},
    followers::{
        fold_on::fold_on,
        models::{Abroad, Models},
        rebuild::rebuild,
    },
    room::context::Folded as _,
};

/// A model of which nothing ever comes.
struct Deaf;

impl Model for Deaf {
    const NAME: &'static str = "deaf";
    const TABLE: &'static str = "deaf_1";
    const VERSION: u32 = 1;

    fn families(&self) -> &[Family] {
        &[Family::Users]
    }

    fn tables(&self) -> &[&'static str] {
        &["CREATE TABLE IF NOT EXISTS deaf_1 (position BIGINT PRIMARY KEY)"]
    }

    fn fold(&self, _: &StoredRecord) -> Result<Vec<Statement>, StoreError> {
        Ok(Vec::new())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_nothing_is_folded_in_memory() {
    let ground = Ground::new().await;
    let models = ground.fold(Deaf).await;
    for name in ["one", "two", "three"] {
        let last = ground.rename(name).await.landed[0];
        models
            .reached("deaf", last.shard, last.position)
            .await
            .unwrap();
        assert!(models.folded("deaf", last.shard) >= last.position);
        assert_eq!(models.folded("unknown", last.shard), 0);
    }
    models.stop(Duration::from_secs(120)).await;
}

/// A model that notes each record, and cannot note a bad one.
struct Noting;

impl Model for Noting {
    const NAME: &'static str = "noting";
    const TABLE: &'static str = "noting_1";
    const VERSION: u32 = 1;

    fn families(&self) -> &[Family] {
        &[Family::Users]
    }

    fn tables(&self) -> &[&'static str] {
        &["CREATE TABLE IF NOT EXISTS noting_1 (position BIGINT NOT NULL PRIMARY KEY)"]
    }

    fn fold(&self, record: &StoredRecord) -> Result<Vec<Statement>, StoreError> {
        let is_bad = record.payload.windows(3).any(|bytes| bytes == b"bad");
        let value = if is_bad {
            Value::Null
        } else {
            Value::Integer(record.position as i64)
        };
        Ok(vec![Statement {
            sql: "INSERT INTO noting_1 (position) VALUES ($1)",
            values: vec![value],
        }])
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_models_are_folded_on_from_where_they_are() {
    let ground = Ground::new().await;
    let models: Vec<Box<dyn AnyModel>> = vec![Box::new(Noting), Box::new(Deaf)];
    let mut expected = Vec::new();
    for (names, parked) in [
        (["one", "two"], 0),
        (["bad", "three"], 1),
        (["four", "five"], 0),
    ] {
        for name in names {
            let last = ground.rename(name).await.landed[0];
            if name != "bad" {
                expected.push(vec![Value::Integer(last.position as i64)]);
            }
        }
        // A second time there is nothing to do.
        for parked in [parked, 0] {
            let mut told = 0;
            let folded = fold_on(&*ground.store, &models, |_| told += 1)
                .await
                .unwrap();
            assert_eq!((folded.records, folded.parked), (folded.all, parked));
            assert!(told > 0);
        }
        let rows = ground.rows("SELECT position FROM noting_1 ORDER BY position");
        assert_eq!(rows.await, expected);
    }
}

/// A model that another node folds at the same moment.
struct Raced(Arc<dyn LogStore>);

impl Model for Raced {
    const NAME: &'static str = "raced";
    const TABLE: &'static str = "raced_1";
    const VERSION: u32 = 1;

    fn families(&self) -> &[Family] {
        &[Family::Users]
    }

    fn tables(&self) -> &[&'static str] {
        &["CREATE TABLE IF NOT EXISTS raced_1 (position BIGINT NOT NULL PRIMARY KEY)"]
    }

    fn fold(&self, record: &StoredRecord) -> Result<Vec<Statement>, StoreError> {
        let models = self.0.models();
        let by_the_other = CursorAdvance {
            name: Self::TABLE,
            shard: record.shard,
            from: None,
            position: record.position,
        };
        let moved = models.apply(Vec::new(), vec![by_the_other]);
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(moved))?;
        Ok(vec![Statement {
            sql: "INSERT INTO raced_1 (position) VALUES ($1)",
            values: vec![Value::Integer(record.position as i64)],
        }])
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_node_has_folded_meanwhile_is_not_folded_again() {
    let ground = Ground::new().await;
    ground.rename("one").await;
    let models: Vec<Box<dyn AnyModel>> = vec![Box::new(Raced(ground.store.clone()))];
    let told = rebuild(&*ground.store, &models, |_| {}).await;
    let is_overtaken = matches!(told, Err(StoreError::Overtaken(Raced::TABLE)));
    assert!(is_overtaken, "{told:?}");
    let rows = ground.rows("SELECT position FROM raced_1").await;
    assert!(rows.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_hears_nothing_of_a_fold_looks_into_the_database() {
    let ground = Ground::new().await;
    let last = ground.rename("one").await.landed[0];
    let own = NodeName::parse("one").unwrap();
    let wire = Arc::<Net>::default().attach(&own);
    let abroad = Abroad {
        routes: Arc::new(Map::new(own)),
        courier: Arc::new(Courier(wire)),
    };
    let models = Models::start_among(ground.source(), vec![Box::new(Deaf)], Some(abroad));
    let models = models.await.unwrap();
    let by_another = CursorAdvance {
        name: Deaf::TABLE,
        shard: last.shard,
        from: None,
        position: last.position,
    };
    let database = ground.store.models();
    database.apply(Vec::new(), vec![by_another]).await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(120);
    while models.folded("deaf", last.shard) < last.position {
        assert!(Instant::now() < deadline, "nobody looks");
        models.urge("deaf", Family::Users);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    models.stop(Duration::from_secs(120)).await;
}

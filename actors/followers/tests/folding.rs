//! How far a model has come is known at once.

use std::time::Duration;

use playhouse_schema::{
    address::Family,
    models::Model,
    port::{Statement, StoreError, StoredRecord},
};

use super::Ground;
use crate::{followers::models::Models, room::context::Folded as _};

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
    let (store, tail) = ground.source();
    let models = Models::start(store, tail, vec![Box::new(Deaf)])
        .await
        .unwrap();
    for name in ["one", "two", "three"] {
        let last = ground.rename(name).await.landed[0];
        models
            .reached("deaf", last.shard, last.position)
            .await
            .unwrap();
        assert!(models.folded("deaf", last.shard) >= last.position);
        assert_eq!(models.folded("unknown", last.shard), 0);
    }
    models.stop(Duration::from_secs(5)).await;
}

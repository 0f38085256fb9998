//! The store and the actors over it.

use std::{sync::Arc, time::Duration};

use playhouse_actors::house::House;
use playhouse_schema::{
    address::Layout,
    drivers::{self, DatabaseConfig},
    port::{LogStore, StoreError},
};

use super::{StartError, identity};
use crate::config::Config;

/// Opens the store and all actors over it. The command line does this too while no server runs.
pub(crate) async fn open_house(_config: &Config) -> Result<Arc<House>, StartError> {
    Err(StoreError::Incompatible("the house cannot be opened yet".into()).into())
}

/// Opens the store alone.
pub(crate) async fn open_store(config: &Config) -> Result<Arc<dyn LogStore>, StartError> {
    let writers = config.database.writers as usize;
    let layout = Layout {
        shards: config.database.shards as u16,
    };
    let database = match &config.database.url {
        Some(url) => DatabaseConfig::Postgres {
            dsn: url.clone(),
            writers,
            owner: identity::owner_name(),
        },
        None => DatabaseConfig::Sqlite {
            folder: config.server.data_dir.clone().into(),
            writers,
        },
    };
    Ok(drivers::open_with_layout(database, layout).await?)
}

/// Ends long polls.
pub(super) fn end_waiting(_house: &House) {}

/// Lets actors sleep and writers commit.
pub(crate) async fn close(_house: &House, _within: Duration) {}

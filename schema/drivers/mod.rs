//! The two databases behind the ports, and how one of them is opened.
//!
//! Both promise what [`crate::port`] says and pass the same suite (`conformance/`). Which one runs is known here and nowhere else.

mod plan;
mod postgres;
mod sqlite;
mod texts;

#[cfg(test)]
mod conformance;

use std::{path::PathBuf, sync::Arc, time::Duration};

use crate::{
    address::Layout,
    migrate::port::{HeldStore, Side},
    port::{LogStore, StoreError},
};

/// Which database, and where.
#[derive(Clone, Debug)]
pub enum DatabaseConfig {
    /// Files in a folder, for one process.
    Sqlite {
        /// The data folder; made when it is missing.
        folder: PathBuf,
        /// Files (and so writers) of each family. Only heeded when the folder is new.
        writers: usize,
    },
    /// PostgreSQL, for one node or many.
    Postgres(PostgresConfig),
}

/// PostgreSQL databases that hold a house together.
#[derive(Clone, Debug)]
pub struct PostgresConfig {
    /// Their addresses, `postgres://user:password@host/database` or `key=value` pairs, at least one; of TLS they say what they say to libpq. The first holds
    /// models, cursors and the register beside its part of the log; shard `s` of each family lies in number `s mod count`. Their number and order are fixed when they are made.
    pub dsns: Vec<String>,
    /// Appenders (and so connections) of each family in each database.
    pub writers: usize,
    /// Who owns the shards that are opened here: a name that no other node has.
    pub owner: String,
    /// How much of the servers this process uses.
    pub bounds: PostgresBounds,
}

/// How much of a PostgreSQL server a process uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PostgresBounds {
    /// Connections to each database beside those of the appenders, and two for the register.
    pub connections: usize,
    /// A statement that takes longer is ended.
    pub statement_timeout: Duration,
}

impl Default for PostgresBounds {
    fn default() -> Self {
        Self {
            connections: 8,
            statement_timeout: Duration::from_secs(30),
        }
    }
}

/// Opens a database, makes or updates its tables, and checks that this program may run on it. A new database gets the default layout.
///
/// Must be called inside a tokio runtime for PostgreSQL. Costs a few milliseconds whatever the size of the database.
pub async fn open(config: DatabaseConfig) -> Result<Arc<dyn LogStore>, StoreError> {
    open_with_layout(config, Layout::default()).await
}

/// As [`open`], with the layout that a new database gets. An old one keeps its own: see [`LogStore::layout`].
pub async fn open_with_layout(
    config: DatabaseConfig,
    layout: Layout,
) -> Result<Arc<dyn LogStore>, StoreError> {
    if layout.shards == 0 || layout.shards > Layout::SHARDS_MAX {
        return Err(StoreError::Incompatible(format!(
            "a family has 1 to {} shards, not {}",
            Layout::SHARDS_MAX,
            layout.shards
        )));
    }
    match config {
        DatabaseConfig::Sqlite { folder, writers } => Ok(Arc::new(sqlite::SqliteStore::open(
            &folder, writers, layout,
        )?)),
        DatabaseConfig::Postgres(config) => postgres::open(&config, layout).await,
    }
}

/// Opens a database that a server may be using, to read its log while that goes on. It must have been opened by this version of the program before.
///
/// Must be called inside a tokio runtime for PostgreSQL.
pub async fn open_beside(config: DatabaseConfig) -> Result<Arc<dyn LogStore>, StoreError> {
    match config {
        DatabaseConfig::Sqlite { folder, .. } => {
            Ok(Arc::new(sqlite::SqliteStore::open_beside(&folder)?))
        }
        DatabaseConfig::Postgres(config) => postgres::open_beside(&config).await,
    }
}

/// Opens a database for a migration alone. Refused with [`StoreError::Locked`] when somebody else uses it.
///
/// Must be called inside a tokio runtime for PostgreSQL.
pub async fn hold(config: DatabaseConfig, side: Side) -> Result<Arc<dyn HeldStore>, StoreError> {
    match config {
        DatabaseConfig::Sqlite { folder, writers } => {
            Ok(Arc::new(sqlite::SqliteHold::open(&folder, writers, side)?))
        }
        DatabaseConfig::Postgres(config) => {
            Ok(Arc::new(postgres::PostgresHold::open(&config, side).await?))
        }
    }
}

/// At least one writer, and no more than there are shards.
fn writers_within(writers: usize, layout: Layout) -> usize {
    writers.clamp(1, usize::from(layout.shards))
}

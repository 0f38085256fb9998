//! Remote servers that were ever sent something: which are behind, and which have a transaction on its way.

use super::{Columns, Model, number, rows, text, truth};
use crate::{
    address::Family,
    port::{ModelStore, Statement, StoreError, StoredRecord},
    record::{codec::Record as _, server::ServerRecord},
};

const TABLES: [&str; 1] = ["CREATE TABLE IF NOT EXISTS destinations_1 (
        server_name {{text}} PRIMARY KEY,
        lags BIGINT NOT NULL,
        in_flight BIGINT NOT NULL,
        failures BIGINT NOT NULL,
        failing_since_ms BIGINT NOT NULL,
        next_ms BIGINT NOT NULL,
        acknowledged_ms BIGINT NOT NULL
    )"];

pub(super) const DEPARTED: &str = "INSERT INTO destinations_1 (server_name, lags, in_flight, failures, failing_since_ms, next_ms, acknowledged_ms) \
     VALUES ($1, 0, 1, 0, 0, 0, 0) ON CONFLICT (server_name) DO UPDATE SET in_flight = 1, failures = 0, failing_since_ms = 0, next_ms = 0";

pub(super) const ACKNOWLEDGED: &str = "UPDATE destinations_1 SET in_flight = 0, failures = 0, failing_since_ms = 0, next_ms = 0, acknowledged_ms = $1 \
     WHERE server_name = $2";

pub(super) const FAILED: &str = "INSERT INTO destinations_1 (server_name, lags, in_flight, failures, failing_since_ms, next_ms, acknowledged_ms) \
     VALUES ($1, 0, 0, 1, $2, $3, 0) ON CONFLICT (server_name) DO UPDATE SET failures = destinations_1.failures + 1, \
     failing_since_ms = CASE WHEN destinations_1.failures = 0 THEN excluded.failing_since_ms ELSE destinations_1.failing_since_ms END, \
     next_ms = excluded.next_ms";

pub(super) const LAGS: &str = "INSERT INTO destinations_1 (server_name, lags, in_flight, failures, failing_since_ms, next_ms, acknowledged_ms) \
     VALUES ($1, $2, 0, 0, 0, 0, 0) ON CONFLICT (server_name) DO UPDATE SET lags = excluded.lags";

pub(super) const UNFINISHED: &str = "SELECT server_name, lags, in_flight, failures, failing_since_ms, next_ms, acknowledged_ms FROM destinations_1 \
     WHERE server_name > $1 AND (lags = 1 OR in_flight = 1) ORDER BY server_name LIMIT $2";

pub(super) const LIST: &str = "SELECT server_name, lags, in_flight, failures, failing_since_ms, next_ms, acknowledged_ms FROM destinations_1 \
     WHERE server_name > $1 ORDER BY server_name LIMIT $2";

/// The model.
pub struct Destinations;

/// A destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// Its name.
    pub server_name: String,
    /// It is behind and has to catch up.
    pub lags: bool,
    /// A transaction is on its way.
    pub in_flight: bool,
    /// Attempts that failed since the last success.
    pub failures: u64,
    /// The first of them, milliseconds since the Unix epoch; 0 when there is none.
    pub failing_since_ms: u64,
    /// When it is tried next; 0 when nothing hinders.
    pub next_ms: u64,
    /// When it last acknowledged something, as far as that was recorded; 0 when never.
    pub acknowledged_ms: u64,
}

impl Model for Destinations {
    const NAME: &'static str = "destinations";
    const TABLE: &'static str = "destinations_1";
    const VERSION: u32 = 1;

    fn families(&self) -> &[Family] {
        &[Family::Servers]
    }

    fn tables(&self) -> &[&'static str] {
        &TABLES
    }

    fn fold(&self, record: &StoredRecord) -> Result<Vec<Statement>, StoreError> {
        if record.entity.prefix() != "server" {
            return Ok(Vec::new());
        }
        let name = text(record.entity.name());
        let (sql, values) = match ServerRecord::decode(record)? {
            Some(ServerRecord::Departed(_)) => (DEPARTED, vec![name]),
            Some(ServerRecord::Acknowledged(done)) => {
                (ACKNOWLEDGED, vec![number(done.at_ms), name])
            }
            Some(ServerRecord::Failed(failed)) => (
                FAILED,
                vec![name, number(failed.at_ms), number(failed.next_ms)],
            ),
            Some(ServerRecord::Lagged(_)) => (LAGS, vec![name, truth(true)]),
            Some(ServerRecord::CaughtUp(lag)) => (LAGS, vec![name, truth(lag.is_some())]),
            None => return Ok(Vec::new()),
        };
        Ok(vec![Statement { sql, values }])
    }
}

fn read(columns: &mut Columns) -> Result<Destination, StoreError> {
    Ok(Destination {
        server_name: columns.text()?,
        lags: columns.truth()?,
        in_flight: columns.truth()?,
        failures: columns.number()?,
        failing_since_ms: columns.number()?,
        next_ms: columns.number()?,
        acknowledged_ms: columns.number()?,
    })
}

/// Destinations that have something to be sent, by name: at most `limit` after `after`.
pub async fn unfinished(
    store: &dyn ModelStore,
    after: &str,
    limit: usize,
) -> Result<Vec<Destination>, StoreError> {
    let values = vec![text(after), number(limit as u64)];
    rows(store, (UNFINISHED, values), read).await
}

/// All destinations, by name: at most `limit` after `after`.
pub async fn list(
    store: &dyn ModelStore,
    after: &str,
    limit: usize,
) -> Result<Vec<Destination>, StoreError> {
    let values = vec![text(after), number(limit as u64)];
    rows(store, (LIST, values), read).await
}

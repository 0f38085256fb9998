//! Remote servers that were ever sent something: which are behind, and which have a transaction on its way.

use super::{Columns, Model, first, number, rows, text, truth, user_names::escaped};
use crate::{
    address::Family,
    port::{ModelStore, Statement, StoreError, StoredRecord},
    record::{codec::Record as _, server::ServerRecord},
};

const TABLES: [&str; 1] = ["CREATE TABLE IF NOT EXISTS destinations_2 (
        server_name {{text}} PRIMARY KEY,
        lags BIGINT NOT NULL,
        in_flight BIGINT NOT NULL,
        failures BIGINT NOT NULL,
        failing_since_ms BIGINT NOT NULL,
        failed_ms BIGINT NOT NULL,
        next_ms BIGINT NOT NULL,
        acknowledged_ms BIGINT NOT NULL
    )"];

pub(super) const DEPARTED: &str = "INSERT INTO destinations_2 (server_name, lags, in_flight, failures, failing_since_ms, failed_ms, next_ms, acknowledged_ms) \
     VALUES ($1, 0, 1, 0, 0, 0, 0, 0) ON CONFLICT (server_name) DO UPDATE SET in_flight = 1, failures = 0, failing_since_ms = 0, \
     failed_ms = 0, next_ms = 0";

pub(super) const OWED: &str = "INSERT INTO destinations_2 (server_name, lags, in_flight, failures, failing_since_ms, failed_ms, next_ms, acknowledged_ms) \
     VALUES ($1, 0, 1, 0, 0, 0, 0, 0) ON CONFLICT (server_name) DO UPDATE SET in_flight = 1";

pub(super) const ACKNOWLEDGED: &str = "UPDATE destinations_2 SET in_flight = 0, failures = 0, failing_since_ms = 0, failed_ms = 0, next_ms = 0, \
     acknowledged_ms = $1 WHERE server_name = $2";

pub(super) const FAILED: &str = "INSERT INTO destinations_2 (server_name, lags, in_flight, failures, failing_since_ms, failed_ms, next_ms, acknowledged_ms) \
     VALUES ($1, 0, 0, 1, $2, $2, $3, 0) ON CONFLICT (server_name) DO UPDATE SET failures = destinations_2.failures + 1, \
     failing_since_ms = CASE WHEN destinations_2.failures = 0 THEN excluded.failing_since_ms ELSE destinations_2.failing_since_ms END, \
     failed_ms = excluded.failed_ms, next_ms = excluded.next_ms";

pub(super) const LAGS: &str = "INSERT INTO destinations_2 (server_name, lags, in_flight, failures, failing_since_ms, failed_ms, next_ms, acknowledged_ms) \
     VALUES ($1, $2, 0, 0, 0, 0, 0, 0) ON CONFLICT (server_name) DO UPDATE SET lags = excluded.lags";

pub(super) const UNFINISHED: &str = "SELECT server_name, lags, in_flight, failures, failing_since_ms, failed_ms, next_ms, acknowledged_ms FROM destinations_2 \
     WHERE server_name > $1 AND (lags = 1 OR in_flight = 1) ORDER BY server_name LIMIT $2";

pub(super) const LIST: &str = "SELECT server_name, lags, in_flight, failures, failing_since_ms, failed_ms, next_ms, acknowledged_ms FROM destinations_2 \
     WHERE server_name > $1 ORDER BY server_name LIMIT $2";

/// Those whose name has something in it, sorted by a number and then by name.
macro_rules! found {
    ($direction:literal) => {
        concat!(
            "SELECT server_name, lags, in_flight, failures, failing_since_ms, failed_ms, next_ms, acknowledged_ms FROM destinations_2 \
             WHERE server_name LIKE $1 ESCAPE '!' ORDER BY CASE CAST($2 AS TEXT) WHEN 'retry_last_ts' THEN failed_ms \
             WHEN 'retry_interval' THEN next_ms - failed_ms WHEN 'failure_ts' THEN failing_since_ms \
             WHEN 'last_successful_stream_ordering' THEN acknowledged_ms ELSE 0 END ",
            $direction,
            ", server_name ",
            $direction,
            " LIMIT $3 OFFSET $4"
        )
    };
}

pub(super) const FIND: &str = found!("ASC");

pub(super) const FIND_BACKWARDS: &str = found!("DESC");

pub(super) const COUNT: &str =
    "SELECT count(*) FROM destinations_2 WHERE server_name LIKE $1 ESCAPE '!'";

pub(super) const GET: &str = "SELECT server_name, lags, in_flight, failures, failing_since_ms, failed_ms, next_ms, acknowledged_ms FROM destinations_2 \
     WHERE server_name = $1";

/// The model.
pub struct Destinations;

/// Which destinations are wanted, in what order.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Those whose name has this in it.
    pub name: String,
    /// Sorted by this: `destination`, `retry_last_ts`, `retry_interval`, `failure_ts` or `last_successful_stream_ordering`. What is alike is sorted by name.
    pub order_by: String,
    /// The greatest first.
    pub backwards: bool,
    /// After so many.
    pub from: u64,
    /// At most so many.
    pub limit: u64,
}

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
    /// The last of them, milliseconds since the Unix epoch; 0 when there is none.
    pub failed_ms: u64,
    /// When it is tried next; 0 when nothing hinders.
    pub next_ms: u64,
    /// When it last acknowledged something, as far as that was recorded; 0 when never.
    pub acknowledged_ms: u64,
}

impl Model for Destinations {
    const NAME: &'static str = "destinations";
    const TABLE: &'static str = "destinations_2";
    const VERSION: u32 = 2;

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
            // It is as good as on its way.
            Some(ServerRecord::Owed(_)) => (OWED, vec![name]),
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
        failed_ms: columns.number()?,
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

/// Destinations that are wanted, and how many there are in all.
pub async fn find(
    store: &dyn ModelStore,
    wanted: &Wanted,
) -> Result<(Vec<Destination>, u64), StoreError> {
    let within = || text(format!("%{}%", escaped(&wanted.name.to_lowercase())));
    let values = vec![
        within(),
        text(wanted.order_by.as_str()),
        number(wanted.limit),
        number(wanted.from),
    ];
    let sql = if wanted.backwards {
        FIND_BACKWARDS
    } else {
        FIND
    };
    let found = rows(store, (sql, values), read).await?;
    let total = first(store, (COUNT, vec![within()]), Columns::number).await?;
    Ok((found, total.unwrap_or(0)))
}

/// One destination.
pub async fn get(
    store: &dyn ModelStore,
    server_name: &str,
) -> Result<Option<Destination>, StoreError> {
    first(store, (GET, vec![text(server_name)]), read).await
}

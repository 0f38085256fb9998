//! Connections: how they are made, lent and made again.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    runtime::Handle,
    sync::Semaphore,
    time::{Instant, sleep, timeout},
};
use tokio_postgres::{Client, Config, Error, NoTls, Row, Statement, error::SqlState, types::ToSql};

use super::super::PostgresBounds;
use crate::port::{Connections, StoreError};

/// Prepared statements kept by a connection. Beyond that it starts afresh: texts are few and fixed.
const STATEMENTS_KEPT: usize = 256;

/// Whoever writes the log shares this lock of the database; a migration has it alone. The number is arbitrary, but the same for all.
const LOG_LOCK: i64 = 0x0070_6c61_7968_6f76;

/// Waits between attempts to reach the server.
const BACKOFF_MS: [u64; 6] = [50, 100, 200, 400, 800, 1_600];

/// A server that takes a connection and then says nothing is not waited for any longer.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

/// Nobody begins another attempt after this.
const REACH_WITHIN: Duration = Duration::from_secs(4);

/// The server ends what takes too long; whoever does not even say so by then is given up.
const GRACE: Duration = Duration::from_secs(5);

/// Says what PostgreSQL said, without the details, which repeat values.
pub(super) fn failure(error: &Error) -> StoreError {
    StoreError::Database(explain(error))
}

/// An error in words.
pub(super) fn explain(error: &Error) -> String {
    match error.as_db_error() {
        Some(said) => format!("{} ({})", said.message(), said.code().code()),
        None => error.to_string(),
    }
}

/// Whether the server's answer is missing, rather than bad: the connection broke, or the server says that it is about to.
pub(super) fn is_disconnect(error: &Error) -> bool {
    match error.as_db_error() {
        Some(said) => {
            let code = said.code();
            *code == SqlState::ADMIN_SHUTDOWN
                || *code == SqlState::CRASH_SHUTDOWN
                || *code == SqlState::CANNOT_CONNECT_NOW
        }
        None => error.is_closed() || error_is_io(error),
    }
}

fn error_is_io(error: &Error) -> bool {
    std::error::Error::source(error).is_some_and(|source| source.is::<std::io::Error>())
}

/// A connection with its prepared statements.
pub(super) struct Connection {
    pub(super) client: Client,
    prepared: BTreeMap<&'static str, Statement>,
}

impl Connection {
    /// Connects on the current runtime, which drives the connection from then on.
    pub(super) async fn open(config: &Config) -> Result<Self, Error> {
        let (client, driver) = config.connect(NoTls).await?;
        tokio::spawn(async move {
            if let Err(error) = driver.await {
                tracing::debug!(error = explain(&error), "database connection ended");
            }
        });
        Ok(Self {
            client,
            prepared: BTreeMap::new(),
        })
    }

    /// As [`Connection::open`], tried again for a few seconds.
    pub(super) async fn open_patiently(config: &Config) -> Result<Self, StoreError> {
        Self::open_after(config, &Failures::default()).await
    }

    /// The same, when others have tried before.
    async fn open_after(config: &Config, failures: &Failures) -> Result<Self, StoreError> {
        let began = Instant::now();
        loop {
            sleep(failures.wait()).await;
            let known = failures.known();
            let (error, is_refused) = match timeout(OPEN_TIMEOUT, Self::open(config)).await {
                Ok(Ok(connection)) => {
                    failures.end();
                    return Ok(connection);
                }
                Ok(Err(error)) => {
                    let is_full = error.code() == Some(&SqlState::TOO_MANY_CONNECTIONS);
                    let is_refused =
                        error.as_db_error().is_some() && !is_full && !is_disconnect(&error);
                    (failure(&error), is_refused)
                }
                Err(_) => (silent(), false),
            };
            failures.count_after(known);
            if is_refused || began.elapsed() + failures.wait() > REACH_WITHIN {
                return Err(error);
            }
        }
    }

    /// A connection that writes the log: as long as it lives no migration begins. Refused while one is under way.
    pub(super) async fn open_writing(config: &Config) -> Result<Self, StoreError> {
        let mut connection = Self::open_patiently(config).await?;
        let sql = "SELECT pg_try_advisory_lock_shared($1)";
        // A migration that has just ended may not be gone yet.
        for wait_ms in BACKOFF_MS {
            if connection.try_lock(sql).await? {
                return Ok(connection);
            }
            sleep(Duration::from_millis(wait_ms)).await;
        }
        Err(StoreError::Locked(
            "the database is being migrated".to_owned(),
        ))
    }

    /// Has the log alone from now on, as long as the connection lives. `false` when somebody writes it.
    pub(super) async fn try_lock_alone(&mut self) -> Result<bool, StoreError> {
        self.try_lock("SELECT pg_try_advisory_lock($1)").await
    }

    async fn try_lock(&mut self, sql: &'static str) -> Result<bool, StoreError> {
        let rows = self.query(sql, &[&LOG_LOCK]).await;
        let rows = rows.map_err(|error| failure(&error))?;
        Ok(rows.first().is_some_and(|row| row.get::<_, bool>(0)))
    }

    pub(super) async fn prepare(&mut self, sql: &'static str) -> Result<Statement, Error> {
        if let Some(statement) = self.prepared.get(sql) {
            return Ok(statement.clone());
        }
        if self.prepared.len() >= STATEMENTS_KEPT {
            self.prepared.clear();
        }
        let statement = self.client.prepare(sql).await?;
        self.prepared.insert(sql, statement.clone());
        Ok(statement)
    }

    pub(super) async fn query(
        &mut self,
        sql: &'static str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Error> {
        let statement = self.prepare(sql).await?;
        self.client.query(&statement, values).await
    }
}

/// The server did not answer.
fn silent() -> StoreError {
    StoreError::Database("the database does not answer".into())
}

/// Waits for an answer a little longer than the server may work on it; `None` when it does not come.
pub(super) async fn in_time<T>(
    bounds: PostgresBounds,
    answer: impl Future<Output = Result<T, Error>>,
) -> Option<Result<T, Error>> {
    let most = bounds.statement_timeout.saturating_add(GRACE);
    timeout(most, answer).await.ok()
}

/// Attempts in a row that did not reach the server. Whoever tries next waits before: also who has not tried yet.
#[derive(Default)]
struct Failures(AtomicUsize);

impl Failures {
    fn wait(&self) -> Duration {
        let count = self.known().min(BACKOFF_MS.len());
        let wait_ms = count.checked_sub(1).map_or(0, |index| BACKOFF_MS[index]);
        Duration::from_millis(wait_ms)
    }

    fn known(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// An attempt that began when so many were known has failed, too. Those of the same time count once.
    fn count_after(&self, known: usize) {
        let _ = self.0.compare_exchange(
            known,
            known.saturating_add(1),
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
    }

    fn end(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

/// A few connections that anybody may use, made on demand on the runtime in which the pool was made.
pub(super) struct Pool {
    config: Config,
    bounds: PostgresBounds,
    home: Handle,
    permits: Semaphore,
    idle: Mutex<Vec<Connection>>,
    failures: Arc<Failures>,
}

impl Pool {
    pub(super) fn new(config: Config, bounds: PostgresBounds) -> Self {
        Self {
            config,
            bounds,
            home: Handle::current(),
            permits: Semaphore::new(bounds.connections.max(1)),
            idle: Mutex::default(),
            failures: Arc::default(),
        }
    }

    /// Runs a statement that may be repeated: when the connection turns out to be broken, once more on a new one.
    pub(super) async fn query(
        &self,
        sql: &'static str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, StoreError> {
        let _permit = self.permit().await?;
        if let Some(mut connection) = self.take_idle() {
            match in_time(self.bounds, connection.query(sql, values)).await {
                Some(Ok(rows)) => {
                    self.give_back(connection);
                    return Ok(rows);
                }
                Some(Err(error)) if is_disconnect(&error) => {}
                Some(Err(error)) => {
                    self.give_back(connection);
                    return Err(failure(&error));
                }
                None => return Err(silent()),
            }
        }
        let mut connection = self.connect().await?;
        let answer = in_time(self.bounds, connection.query(sql, values)).await;
        let answer = answer.ok_or_else(silent)?;
        self.give_back(connection);
        answer.map_err(|error| failure(&error))
    }

    /// Waits for the answer to so many statements, a little longer than the server may work on them.
    pub(super) async fn answered<T>(
        &self,
        statements: usize,
        answer: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, StoreError> {
        let count = u32::try_from(statements).unwrap_or(u32::MAX);
        let bounds = PostgresBounds {
            statement_timeout: self.bounds.statement_timeout.saturating_mul(count),
            ..self.bounds
        };
        let answer = in_time(bounds, answer).await.ok_or_else(silent)?;
        answer.map_err(|error| failure(&error))
    }

    /// Lends a connection for several statements. It is not given back by itself.
    pub(super) async fn lend(&self) -> Result<Lent<'_>, StoreError> {
        let permit = self.permit().await?;
        let connection = match self.take_idle() {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        Ok(Lent {
            pool: self,
            connection,
            _permit: permit,
        })
    }

    async fn permit(&self) -> Result<tokio::sync::SemaphorePermit<'_>, StoreError> {
        let most = self.bounds.statement_timeout.saturating_add(GRACE);
        match timeout(most, self.permits.acquire()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) => Err(StoreError::Database("the connections are closed".into())),
            Err(_) => Err(StoreError::Database(format!(
                "all {} connections to the database are busy",
                self.bounds.connections
            ))),
        }
    }

    /// How many are in use.
    pub(super) fn counts(&self) -> Connections {
        let most = self.bounds.connections.max(1);
        Connections {
            most,
            busy: most.saturating_sub(self.permits.available_permits()),
            idle: self.idle.lock().len(),
        }
    }

    fn take_idle(&self) -> Option<Connection> {
        let mut idle = self.idle.lock();
        idle.retain(|connection| !connection.client.is_closed());
        idle.pop()
    }

    /// Closes what nobody uses: one of them has not answered, and others may be no better.
    pub(super) fn close_idle(&self) {
        self.idle.lock().clear();
    }

    fn give_back(&self, connection: Connection) {
        if !connection.client.is_closed() {
            self.idle.lock().push(connection);
        }
    }

    /// A connection that is nobody else's, and not counted.
    pub(super) async fn connect(&self) -> Result<Connection, StoreError> {
        let (config, failures) = (self.config.clone(), Arc::clone(&self.failures));
        self.home
            .spawn(async move { Connection::open_after(&config, &failures).await })
            .await
            .map_err(|error| StoreError::Database(error.to_string()))?
    }
}

/// A connection on loan.
pub(super) struct Lent<'a> {
    pool: &'a Pool,
    pub(super) connection: Connection,
    _permit: tokio::sync::SemaphorePermit<'a>,
}

impl Lent<'_> {
    /// Puts the connection back; one that is dropped instead is closed, and so is its transaction.
    pub(super) fn give_back(self) {
        self.pool.give_back(self.connection);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_is_not_answered_is_told() {
        let bounds = PostgresBounds {
            statement_timeout: Duration::ZERO,
            ..PostgresBounds::default()
        };
        let pool = Pool::new(Config::new(), bounds);
        let never = std::future::pending::<Result<(), Error>>();
        let told = timeout(GRACE * 10, pool.answered(30, never)).await;
        assert!(matches!(told, Ok(Err(StoreError::Database(_)))));
    }

    #[test]
    fn whoever_tries_next_waits_longer_until_somebody_comes_through() {
        let failures = Failures::default();
        assert_eq!(failures.wait(), Duration::ZERO);
        for expected in BACKOFF_MS.into_iter().chain([1_600, 1_600]) {
            let known = failures.known();
            // Those who tried at the same time have met with one failure.
            failures.count_after(known);
            failures.count_after(known);
            assert_eq!(failures.wait(), Duration::from_millis(expected));
        }
        failures.end();
        assert_eq!(failures.wait(), Duration::ZERO);
    }
}

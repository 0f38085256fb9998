//! Connections: how they are made, lent and made again.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Once,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    runtime::Handle,
    sync::{Semaphore, oneshot},
    time::{Instant, sleep, timeout},
};
use tokio_postgres::{Client, Error, Row, Statement, error::SqlState, types::ToSql};

use super::{super::PostgresBounds, dsn::Address, tls};
use crate::port::{Connections, StoreError};

/// Prepared statements kept by a connection. Beyond that it starts afresh: texts are few and fixed.
const STATEMENTS_KEPT: usize = 256;

/// Whoever writes the log shares this lock of the database; a migration has it alone. The number is arbitrary, but the same for all.
const LOG_LOCK: i64 = 0x0070_6c61_7968_6f76;

/// Commits of the session wait for the disk at least; whether they would not have, and whether the server does not wait for its disk at all.
const DURABLE: &str = "SELECT CASE WHEN current_setting('synchronous_commit') = 'off' \
     THEN set_config('synchronous_commit', 'on', false) END IS NOT NULL, current_setting('fsync') = 'off'";

/// It is said once by each process.
static WARNED_OF_COMMITS: Once = Once::new();

/// The same.
static WARNED_OF_FSYNC: Once = Once::new();

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
        None => tls::told(error).unwrap_or_else(|| error.to_string()),
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
    pub(super) async fn open(address: &Address) -> Result<Self, Error> {
        let (client, driver) = address.connect().await?;
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
    pub(super) async fn open_patiently(address: &Address) -> Result<Self, StoreError> {
        Self::open_after(address, &Failures::default()).await
    }

    /// The same, when others have tried before.
    async fn open_after(address: &Address, failures: &Failures) -> Result<Self, StoreError> {
        let began = Instant::now();
        loop {
            sleep(failures.wait()).await;
            let known = failures.known();
            let (error, is_refused) = match timeout(OPEN_TIMEOUT, Self::open(address)).await {
                Ok(Ok(connection)) => {
                    failures.end();
                    return Ok(connection);
                }
                Ok(Err(error)) => {
                    let is_full = error.code() == Some(&SqlState::TOO_MANY_CONNECTIONS);
                    let is_refused =
                        error.as_db_error().is_some() && !is_full && !is_disconnect(&error);
                    match address.refusal(&error) {
                        Some(why) => (StoreError::Database(why), true),
                        None => (failure(&error), is_refused),
                    }
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
    pub(super) async fn open_writing(address: &Address) -> Result<Self, StoreError> {
        let mut connection = Self::open_patiently(address).await?;
        let sql = "SELECT pg_try_advisory_lock_shared($1)";
        // A migration that has just ended may not be gone yet.
        for wait_ms in BACKOFF_MS {
            if connection.try_lock(sql).await? {
                connection.be_durable().await?;
                return Ok(connection);
            }
            sleep(Duration::from_millis(wait_ms)).await;
        }
        Err(StoreError::Locked(
            "the database is being migrated".to_owned(),
        ))
    }

    /// What is acknowledged must be stored. A commit that is told before it is on the disk is not asked for over this connection, whatever the server is told;
    /// about the rest of it an operator can only be warned.
    async fn be_durable(&mut self) -> Result<(), StoreError> {
        let rows = self.query(DURABLE, &[]).await;
        let rows = rows.map_err(|error| failure(&error))?;
        let is_so = |index: usize| rows.first().is_some_and(|row| row.get::<_, bool>(index));
        if is_so(0) {
            WARNED_OF_COMMITS.call_once(|| {
                tracing::warn!(
                    "PostgreSQL has synchronous_commit = off: what writes the log sets it to on for itself"
                );
            });
        }
        if is_so(1) {
            WARNED_OF_FSYNC.call_once(|| {
                tracing::warn!(
                    "PostgreSQL has fsync = off: what was acknowledged can be lost, or the database damaged, when its machine fails"
                );
            });
        }
        Ok(())
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
    address: Address,
    bounds: PostgresBounds,
    home: Handle,
    permits: Semaphore,
    idle: Arc<Idle>,
    /// So many finish what nobody waits for any longer, at most.
    finishing: Arc<Semaphore>,
    failures: Arc<Failures>,
}

/// Connections that nobody uses.
struct Idle {
    most: usize,
    connections: Mutex<Vec<Connection>>,
}

impl Idle {
    fn take(&self) -> Option<Connection> {
        let mut connections = self.connections.lock();
        connections.retain(|connection| !connection.client.is_closed());
        connections.pop()
    }

    fn put(&self, connection: Connection) {
        let mut connections = self.connections.lock();
        if connections.len() < self.most && !connection.client.is_closed() {
            connections.push(connection);
        }
    }
}

impl Pool {
    pub(super) fn new(address: Address, bounds: PostgresBounds) -> Self {
        Self {
            address,
            bounds,
            home: Handle::current(),
            permits: Semaphore::new(bounds.connections.max(1)),
            idle: Arc::new(Idle {
                most: bounds.connections.max(1),
                connections: Mutex::default(),
            }),
            finishing: Arc::new(Semaphore::new(bounds.connections.max(1))),
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
        if let Some(connection) = self.idle.take() {
            match self.ask(connection, sql, values).await {
                Some(Err(error)) if is_disconnect(&error) => {}
                Some(answer) => return answer.map_err(|error| failure(&error)),
                None => return Err(silent()),
            }
        }
        let connection = self.connect().await?;
        let answer = self.ask(connection, sql, values).await;
        answer.ok_or_else(silent)?.map_err(|error| failure(&error))
    }

    /// Asks over a connection, which is idle when it has answered; `None` when it does not answer.
    async fn ask(
        &self,
        connection: Connection,
        sql: &'static str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Option<Result<Vec<Row>, Error>> {
        let mut asked = Asked {
            pool: self,
            connection: Some(connection),
        };
        let connection = asked.connection.as_mut()?;
        let answer = in_time(self.bounds, connection.query(sql, values)).await;
        if let Some(connection) = asked.connection.take()
            && answer.is_some()
        {
            self.idle.put(connection);
        }
        answer
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
        let connection = match self.idle.take() {
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
            idle: self.idle.connections.lock().len(),
        }
    }

    /// Closes what nobody uses: one of them has not answered, and others may be no better.
    pub(super) fn close_idle(&self) {
        self.idle.connections.lock().clear();
    }

    /// A connection that is nobody else's, and not counted.
    pub(super) async fn connect(&self) -> Result<Connection, StoreError> {
        let (address, failures) = (self.address.clone(), Arc::clone(&self.failures));
        let (idle, (given, taken)) = (Arc::clone(&self.idle), oneshot::channel());
        self.home.spawn(async move {
            let opened = Connection::open_after(&address, &failures).await;
            // Who wanted it may have given up meanwhile: the next one finds it.
            if let Err(Ok(connection)) = given.send(opened) {
                idle.put(connection);
            }
        });
        let gone = |_| StoreError::Database("the connections are closed".into());
        taken.await.map_err(gone)?
    }
}

/// A connection that is asked. When its answer is not waited for any longer it is used again as soon as that has come: to open another one would cost the server
/// more than to answer.
struct Asked<'a> {
    pool: &'a Pool,
    connection: Option<Connection>,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else {
            return;
        };
        let Ok(place) = Arc::clone(&self.pool.finishing).try_acquire_owned() else {
            return;
        };
        let (idle, bounds) = (Arc::clone(&self.pool.idle), self.pool.bounds);
        self.pool.home.spawn(async move {
            // Its turn comes after what is under way.
            let turn = connection.client.batch_execute("");
            if let Some(Ok(())) = in_time(bounds, turn).await {
                idle.put(connection);
            }
            drop(place);
        });
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
        self.pool.idle.put(self.connection);
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
        let address = Address::parse("host=/nowhere").unwrap();
        let pool = Pool::new(address, bounds);
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

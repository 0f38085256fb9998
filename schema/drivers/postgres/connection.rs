//! Connections: how they are made, lent and made again.

use std::{collections::BTreeMap, time::Duration};

use parking_lot::Mutex;
use tokio::{runtime::Handle, sync::Semaphore};
use tokio_postgres::{Client, Config, Error, NoTls, Row, Statement, error::SqlState, types::ToSql};

use crate::port::StoreError;

/// Connections that read, at most.
const POOL_MAX: usize = 8;

/// Prepared statements kept by a connection. Beyond that it starts afresh: texts are few and fixed.
const STATEMENTS_KEPT: usize = 256;

/// Whoever writes the log shares this lock of the database; a migration has it alone. The number is arbitrary, but the same for all.
const LOG_LOCK: i64 = 0x0070_6c61_7968_6f76;

/// Waits between attempts to reach the server.
const BACKOFF_MS: [u64; 6] = [50, 100, 200, 400, 800, 1_600];

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
        let mut waits = BACKOFF_MS.into_iter();
        loop {
            let error = match Self::open(config).await {
                Ok(connection) => return Ok(connection),
                Err(error) => error,
            };
            let refused = error.as_db_error().is_some() && !is_disconnect(&error);
            match waits.next() {
                Some(wait_ms) if !refused => {
                    tokio::time::sleep(Duration::from_millis(wait_ms)).await;
                }
                _ => return Err(failure(&error)),
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
            tokio::time::sleep(Duration::from_millis(wait_ms)).await;
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

/// A few connections that anybody may use, made on demand on the runtime in which the pool was made.
pub(super) struct Pool {
    config: Config,
    home: Handle,
    permits: Semaphore,
    idle: Mutex<Vec<Connection>>,
}

impl Pool {
    pub(super) fn new(config: Config) -> Self {
        Self {
            config,
            home: Handle::current(),
            permits: Semaphore::new(POOL_MAX),
            idle: Mutex::default(),
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
            match connection.query(sql, values).await {
                Ok(rows) => {
                    self.give_back(connection);
                    return Ok(rows);
                }
                Err(error) if is_disconnect(&error) => {}
                Err(error) => {
                    self.give_back(connection);
                    return Err(failure(&error));
                }
            }
        }
        let mut connection = self.connect().await?;
        let answer = connection.query(sql, values).await;
        self.give_back(connection);
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
        self.permits
            .acquire()
            .await
            .map_err(|_| StoreError::Database("the connections are closed".into()))
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

    async fn connect(&self) -> Result<Connection, StoreError> {
        let config = self.config.clone();
        self.home
            .spawn(async move { Connection::open_patiently(&config).await })
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

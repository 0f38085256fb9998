//! The connections that read one file.

use std::path::{Path, PathBuf};

use parking_lot::{Condvar, Mutex};
use rusqlite::Connection;

use super::files::{connect, failure};
use crate::port::StoreError;

/// Connections that read one file, at most.
const READERS_MAX: usize = 4;

/// A few connections that read one file, made on demand.
pub(super) struct Readers {
    path: PathBuf,
    pool: Mutex<Pool>,
    freed: Condvar,
}

#[derive(Default)]
struct Pool {
    idle: Vec<Connection>,
    open: usize,
}

impl Readers {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            pool: Mutex::default(),
            freed: Condvar::new(),
        }
    }

    /// A pool that begins with a connection that is there already.
    pub(super) fn with_first(path: PathBuf, first: Connection) -> Result<Self, StoreError> {
        set_reading(&first)?;
        let readers = Self::new(path);
        {
            let mut pool = readers.pool.lock();
            pool.idle.push(first);
            pool.open = 1;
        }
        Ok(readers)
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads with one of the connections; waits for one when all are in use.
    pub(super) fn with<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut lent = Lent {
            readers: self,
            connection: self.take(),
        };
        let connection = match &mut lent.connection {
            Some(connection) => connection,
            empty => empty.insert(self.connect()?),
        };
        read(connection)
    }

    /// An idle connection, or the right to make one.
    fn take(&self) -> Option<Connection> {
        let mut pool = self.pool.lock();
        while pool.idle.is_empty() && pool.open == READERS_MAX {
            self.freed.wait(&mut pool);
        }
        let idle = pool.idle.pop();
        if idle.is_none() {
            pool.open += 1;
        }
        idle
    }

    fn connect(&self) -> Result<Connection, StoreError> {
        let connection = connect(&self.path)?;
        set_reading(&connection)?;
        Ok(connection)
    }
}

fn set_reading(connection: &Connection) -> Result<(), StoreError> {
    connection
        .execute_batch("PRAGMA query_only = ON; PRAGMA mmap_size = 16777216;")
        .map_err(failure)
}

/// A connection on loan; it goes back to the pool even when the reader panics.
struct Lent<'a> {
    readers: &'a Readers,
    connection: Option<Connection>,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let mut pool = self.readers.pool.lock();
        match self.connection.take() {
            Some(connection) => pool.idle.push(connection),
            None => pool.open -= 1,
        }
        self.readers.freed.notify_one();
    }
}

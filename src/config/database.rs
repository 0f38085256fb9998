//! `[database]`: where the log is kept.

use std::{slice, time::Duration};

use playhouse_schema::drivers::PostgresBounds;

use super::section::section;

section! {
    /// Where the log is kept.
    "database" Database {
        /// `postgres://user:password@host/name`. Without it SQLite files in the data folder are used.
        /// It says how TLS is spoken to it, too: `?sslmode=verify-full&sslrootcert=FILE` (see databases.md).
        url: Option<String> = None, sample "postgres://playhouse@localhost/playhouse", variable "PLAYHOUSE_DATABASE";
        /// Several PostgreSQL databases instead of one, each with a part of the shards. Their number and order are fixed when they are made (see databases.md).
        /// In a variable they are separated by commas: a comma in a password is written %2C.
        urls: Vec<String> = Vec::new();
        /// Writers of each family, in PostgreSQL in each database: each is a thread with a file or connection of its own. In SQLite heeded only when the
        /// database is made.
        writers: u64 = 1;
        /// Shards of each family when the database is made; fixed from then on (1 to 64).
        shards: u64 = 16;
        /// Connections of this node to each PostgreSQL database, beside those of the writers (one for each writer of each of three families) and two for the
        /// register of the cluster. Who asks while all are busy waits.
        connections: u64 = 8;
        /// PostgreSQL ends a statement that takes longer.
        statement_timeout_ms: u64 = 30_000;
    }
}

impl Database {
    /// The addresses of PostgreSQL in their order; none where the data is in SQLite.
    pub(crate) fn addresses(&self) -> &[String] {
        match &self.url {
            Some(url) if self.urls.is_empty() => slice::from_ref(url),
            _ => &self.urls,
        }
    }

    /// Whether the data is in PostgreSQL.
    pub(crate) fn is_postgres(&self) -> bool {
        !self.addresses().is_empty()
    }

    /// How much of each PostgreSQL server is used.
    pub(crate) fn bounds(&self) -> PostgresBounds {
        PostgresBounds {
            connections: self.connections as usize,
            statement_timeout: Duration::from_millis(self.statement_timeout_ms),
        }
    }
}

//! `[database]`: where the log is kept.

use super::section::section;

section! {
    /// Where the log is kept.
    "database" Database {
        /// `postgres://user:password@host/name`. Without it SQLite files in the data folder are used.
        url: Option<String> = None, sample "postgres://playhouse@localhost/playhouse", variable "PLAYHOUSE_DATABASE";
        /// Writers for rooms: each is a thread with a connection (or file) of its own.
        room_writers: u64 = 1;
        /// Writers for users.
        user_writers: u64 = 1;
        /// Writers for other servers and this server itself.
        server_writers: u64 = 1;
        /// Shards of each family when the database is made; fixed from then on (1 to 64).
        shards: u64 = 16;
        /// Connections to PostgreSQL for reading.
        read_connections: u64 = 8;
    }
}

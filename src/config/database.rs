//! `[database]`: where the log is kept.

use super::section::section;

section! {
    /// Where the log is kept.
    "database" Database {
        /// `postgres://user:password@host/name`. Without it SQLite files in the data folder are used.
        url: Option<String> = None, sample "postgres://playhouse@localhost/playhouse", variable "PLAYHOUSE_DATABASE";
        /// Writers of each family: each is a thread with a file or connection of its own. In SQLite heeded only when the database is made.
        writers: u64 = 1;
        /// Shards of each family when the database is made; fixed from then on (1 to 64).
        shards: u64 = 16;
    }
}

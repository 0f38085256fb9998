//! `[log]`: what the server tells its operator.

use super::section::section;

section! {
    /// What the server tells its operator.
    "log" Log {
        /// Level, or a filter like `info,playhouse::edge=debug`. Read again on SIGHUP.
        level: String = "info".to_owned(), variable "PLAYHOUSE_LOG";
        /// `text` or `json`.
        format: String = "text".to_owned();
    }
}

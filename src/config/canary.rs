//! `[canary]`: a user of the server's own that sends itself messages.

use super::section::section;

section! {
    /// A canary on each node: an account of its own sends a message to its own room now and then, and its sync must tell it. The figures are
    /// `playhouse_canary_…` (see `ops/docs/metrics.md`).
    "canary" Canary {
        /// There is one.
        enabled: bool = false;
        /// The local part of its user ID; behind it comes the node's name where there are several. Nobody else may have that name.
        localpart: String = "canary".to_owned();
        /// It sends so often, milliseconds.
        every_ms: u64 = 10_000;
        /// A message that no sync has told after so many milliseconds is late.
        timeout_ms: u64 = 10_000;
        /// What is older than so many messages is taken out of its room.
        history_max: u64 = 1_000;
    }
}

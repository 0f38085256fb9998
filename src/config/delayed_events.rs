//! `[delayed_events]`: events that are sent later.

use super::section::section;

section! {
    /// Events that clients ask the server to send later (MSC4140). Calls need them: by such an event somebody whose connection broke leaves the call.
    "delayed_events" DelayedEvents {
        /// The longest delay, milliseconds. 0 allows none.
        delay_max_ms: u64 = 86_400_000;
        /// So many may wait for each user.
        per_user_max: u64 = 100;
    }
}

//! `[dashboard]`: the page for administrators.

use super::section::section;

section! {
    /// The page for administrators.
    "dashboard" Dashboard {
        /// It is answered at `/_playhouse/admin/`, wherever clients are. The admin API, by which it does everything, is there without it too.
        enabled: bool = true;
    }
}

//! `[blocking]`: closing the server for a while.

use super::section::section;

section! {
    /// The server can be closed for a while: nobody logs in, registers, syncs, sends, joins, invites or makes rooms, but for administrators who are logged in.
    "blocking" Blocking {
        /// It is closed.
        closed: bool = false;
        /// What people are told.
        message: String = "This server is closed for a while.".to_owned();
        /// Whom they may ask: `mailto:admin@example.org` or another address.
        admin_contact: Option<String> = None;
    }
}

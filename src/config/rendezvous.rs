//! `[rendezvous]`: where two devices meet for a login by QR code.

use super::section::section;

section! {
    /// Small messages that two devices exchange through this server while one logs the other in by a QR code. They are encrypted, and kept in memory only.
    "rendezvous" Rendezvous {
        /// Who may begin: `open` (anybody), `authenticated` (users of this server) or `off`.
        mode: String = "open".to_owned();
        /// So many meetings at once; beyond it the oldest end.
        sessions_max: u64 = 1_000;
        /// A meeting lasts so long, milliseconds.
        lifetime_ms: u64 = 300_000;
    }
}

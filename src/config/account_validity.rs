//! `[account_validity]`: accounts that end unless they are renewed.

use super::section::section;

section! {
    /// Accounts that end unless their users renew them, by a link that is mailed before. Who has no address cannot be mailed.
    "account_validity" AccountValidity {
        /// Accounts end. What has ended can be renewed and logged out of, nothing else.
        enabled: bool = false;
        /// An account holds for so long, milliseconds, from its beginning and from each renewal.
        period_ms: u64 = 15_552_000_000;
        /// So long before the end the link is mailed, milliseconds. 0: only who asks for the link gets it.
        renew_at_ms: u64 = 604_800_000;
        /// It is looked so often, milliseconds, whom to mail.
        sweep_every_ms: u64 = 600_000;
    }
}

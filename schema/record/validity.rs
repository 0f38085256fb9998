//! What is written of accounts that end unless they are renewed.

use serde::{Deserialize, Serialize};

/// Until when an account holds. Whatever was mailed before concerned another end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValiditySet {
    /// Milliseconds since the Unix epoch.
    pub until_ms: u64,
}

/// The user was mailed how to renew the account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenewalMailed {
    /// The end of which the mail warned, milliseconds since the Unix epoch.
    pub until_ms: u64,
}

//! What is written of the beginning of an account, its end, and its opening again.

use serde::{Deserialize, Serialize};

/// How an account began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registered {
    /// PHC string (Argon2id) or modular-crypt string (bcrypt, imported); `None` when the user cannot log in by password.
    pub password_hash: Option<String>,
    /// Server administrator.
    pub admin: bool,
    /// Guest account.
    pub guest: bool,
    /// `bot`, `support` or nothing (the admin API's `user_type`).
    pub user_type: Option<String>,
    /// When, milliseconds since the Unix epoch.
    pub at_ms: u64,
}

/// How an account ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deactivated {
    /// New readers get the user's events in pruned form.
    pub erase: bool,
}

/// A closed account was opened again. What it held stays gone; that it was erased is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reopened {
    /// As that of [`Registered`].
    pub password_hash: Option<String>,
    /// Guest account, as it was before.
    pub guest: bool,
    /// When, milliseconds since the Unix epoch. What let somebody in before does not do so any more.
    pub at_ms: u64,
}

//! Why a user actor refuses.

use playhouse_schema::port::StoreError;
use serde::{Deserialize, Serialize};

use crate::kernel::Unavailable;

/// Why a user actor refuses a command or a query.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum UserError {
    /// There is no such account.
    #[error("unknown user")]
    UnknownUser,
    /// The name is taken, now or by an account that was closed.
    #[error("user ID is taken")]
    UserInUse,
    /// The account was closed.
    #[error("account was deactivated")]
    Deactivated,
    /// The token is not known, or has ended.
    #[error("unknown token")]
    UnknownToken {
        /// Logging in again keeps the device.
        soft_logout: bool,
    },
    /// The account is locked.
    #[error("account is locked")]
    Locked,
    /// A connection of sliding sync stands nowhere that is known (any more).
    #[error("unknown pos")]
    UnknownPos,
    /// The user unsubscribed from a thread after what would subscribe to it again.
    #[error("unsubscribed since")]
    Unsubscribed,
    /// There is no such device, filter, account data or profile field.
    #[error("not found")]
    NotFound,
    /// What was sent makes no sense: the text says what.
    #[error("{0}")]
    InvalidParam(String),
    /// A push rule is to be placed where it cannot be: the text says why.
    #[error("{0}")]
    Misplaced(String),
    /// JSON that is not what it must be.
    #[error("{0}")]
    BadJson(String),
    /// Something without which it cannot be done was not sent.
    #[error("{0}")]
    MissingParam(String),
    /// A one-time key was uploaded before, with other content.
    #[error("One time key {0} already exists with other content")]
    KeyExists(String),
    /// There is no such key.
    #[error("unknown key {0}")]
    UnknownKey(String),
    /// A signature is missing or wrong.
    #[error("{0}")]
    InvalidSignature(String),
    /// The caller must first prove again who it is.
    #[error("authentication needed")]
    ProofNeeded,
    /// More than may be kept: account data, profile, filters, devices, one-time keys.
    #[error("{0}")]
    TooLarge(String),
    /// The profile would pass 64 KiB.
    #[error("profile is too large")]
    ProfileTooLarge,
    /// The name of a profile field is longer than 255 bytes.
    #[error("name of profile field is too long")]
    KeyTooLarge,
    /// Not for this user.
    #[error("{0}")]
    Forbidden(String),
    /// A room could not be read for a sync.
    #[error("room: {0}")]
    Room(String),
    /// The store could not be read now: the database is away, or slow.
    #[error("store: {0}")]
    Store(String),
    /// What is recorded cannot be read: it stays so until that is repaired.
    #[error("damage: {0}")]
    Broken(String),
    /// The actor could not be asked.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl From<&StoreError> for UserError {
    fn from(error: &StoreError) -> Self {
        let reason = error.to_string();
        if error.is_passing() {
            UserError::Store(reason)
        } else {
            UserError::Broken(reason)
        }
    }
}

impl From<StoreError> for UserError {
    fn from(error: StoreError) -> Self {
        Self::from(&error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_is_kept_apart_from_a_database_that_is_away() {
        let away = StoreError::Database("away".to_owned());
        assert!(matches!(UserError::from(away), UserError::Store(_)));
        let damage = StoreError::Damaged("record".to_owned());
        assert!(matches!(UserError::from(damage), UserError::Broken(_)));
    }
}

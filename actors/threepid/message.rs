//! Everything a third-party identifier can be asked.

use playhouse_schema::record::threepid::{self as record, Binding};
use ruma::OwnedUserId;
use serde::{Deserialize, Serialize};

use super::address::Address;
use crate::kernel::Unavailable;

/// What can be done with a third-party identifier.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum ThreepidCommand {
    /// A token was sent. `Busy` when too many sessions are open.
    Begin(record::Validation),
    /// The token came back. `Invalid` when it is not the one, or too late.
    Validate {
        /// The session.
        session: String,
        /// The digest of the client's secret.
        secret: String,
        /// The digest of the token.
        token: String,
    },
    /// Use what was proven, once. `Invalid` when nothing was, or not for this purpose.
    Use {
        /// The session.
        session: String,
        /// The digest of the client's secret.
        secret: String,
        /// What for.
        purpose: String,
    },
    /// Give it to an account. `Taken` when it is another's, unless that is `from`. Nothing happens when it is the account's already.
    Claim {
        /// The account.
        user_id: OwnedUserId,
        /// An owner who is known to be gone.
        from: Option<OwnedUserId>,
        /// The address.
        address: Address,
        /// When it was validated.
        validated_ms: u64,
    },
    /// Take it from an account. `Unknown` when it is not the account's.
    Release {
        /// The account.
        user_id: OwnedUserId,
    },
    /// An identity server knows of it.
    Bind(Binding),
    /// The identity server has forgotten it.
    Unbind(Binding),
}

/// What a command answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ThreepidReply {
    /// It is done.
    Done,
    /// The session is validated: where the person goes on.
    Validated(Option<String>),
    /// What was proven.
    Used(Validation),
}

/// What can be asked about a third-party identifier.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum ThreepidQuery {
    /// Whose it is. Answers `Owner`.
    Owner,
    /// Whether this attempt of a session is to be sent. Answers `Yes`.
    IsToSend {
        /// The session.
        session: String,
        /// Which attempt it is.
        attempt: u64,
    },
    /// What a session has proven, for a purpose. Answers `Proven`.
    Proven {
        /// The session.
        session: String,
        /// The digest of the client's secret.
        secret: String,
        /// What for.
        purpose: String,
    },
}

/// What a query answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ThreepidAnswer {
    /// The account and since when, milliseconds since the Unix epoch.
    Owner(Option<(OwnedUserId, u64)>),
    /// Yes or no.
    Yes(bool),
    /// The address and when.
    Proven(Option<Validation>),
}

/// An address that somebody has proven to receive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validation {
    /// The address.
    pub address: Address,
    /// When, milliseconds since the Unix epoch.
    pub validated_ms: u64,
}

/// Why a third-party identifier refuses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum ThreepidError {
    /// It is not this account's.
    #[error("unknown third-party identifier")]
    Unknown,
    /// It is another account's.
    #[error("third-party identifier is in use")]
    Taken(OwnedUserId),
    /// Nothing is proven.
    #[error("the third-party identifier is not validated")]
    Invalid,
    /// Too many sessions.
    #[error("too many validations at once")]
    Busy,
    /// It could not be asked.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

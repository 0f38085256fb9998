//! Everything about registration tokens and nonces that can be asked.

pub use playhouse_schema::record::house::RegistrationToken;
use serde::{Deserialize, Serialize};

use crate::kernel::{Unavailable, parcel::nested_option};

/// What can be done with registration tokens and nonces.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum RegistrationCommand {
    /// Make a token, or change its bounds.
    SetToken {
        /// The token and its bounds.
        token: RegistrationToken,
        /// Refuse with `Taken` when the token exists.
        new: bool,
    },
    /// Change bounds of a token; `Unknown` when there is none.
    ChangeToken(TokenChange),
    /// Delete a token; `Unknown` when there is none.
    DeleteToken(String),
    /// Count one use; `Invalid` when the token has expired or is used up.
    Use(String),
    /// The registration for which a use was counted failed: take it back.
    Return(String),
    /// Use a nonce of registration by shared secret up; `UnknownNonce` when it was used, is too old or not of this house.
    UseNonce(String),
}

/// What is to change of a token; what is `None` stays.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TokenChange {
    /// Which.
    pub token: String,
    /// How often it may be used; `Some(None)` for ever.
    #[serde(with = "nested_option")]
    pub uses_max: Option<Option<u64>>,
    /// Until when, milliseconds since the Unix epoch; `Some(None)` for ever.
    #[serde(with = "nested_option")]
    pub expires_ms: Option<Option<u64>>,
}

/// What a command answers: it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistrationReply;

/// What can be asked about registration tokens.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum RegistrationQuery {
    /// Whether a token may be used now. Answers `Valid`.
    IsValid(String),
    /// Keep one use of a token for an authentication session until it is used, released or too old. Answers `Valid`: whether there was one to keep.
    Hold {
        /// The token.
        token: String,
        /// The session.
        session: String,
    },
    /// All tokens. Answers `Tokens`.
    List,
    /// One token. Answers `Tokens`, empty when there is none.
    One(String),
}

/// What a query answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RegistrationAnswer {
    /// Yes or no.
    Valid(bool),
    /// Tokens, sorted.
    Tokens(Vec<TokenUse>),
}

/// A token and how much it was used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenUse {
    /// The token and its bounds.
    pub token: RegistrationToken,
    /// Registrations that are under way.
    pub pending: u64,
    /// Registrations that were completed.
    pub completed: u64,
}

impl TokenUse {
    /// Whether one more registration may begin with it.
    pub fn is_usable(&self, now_ms: u64) -> bool {
        let uses = self.completed.saturating_add(self.pending);
        let fresh = self.token.expires_ms.is_none_or(|until| now_ms < until);
        fresh && self.token.uses_max.is_none_or(|most| uses < most)
    }
}

/// What registration hears.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum RegistrationSignal {
    /// An authentication session has ended: what was kept for it is free again.
    Release {
        /// The session.
        session: String,
    },
}

/// Why registration refuses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum RegistrationError {
    /// No such token.
    #[error("unknown registration token")]
    Unknown,
    /// The token exists.
    #[error("registration token exists")]
    Taken,
    /// The token is unknown, used up or too old.
    #[error("registration token is not valid")]
    Invalid,
    /// No room for more tokens, or the token is no token.
    #[error("{0}")]
    BadToken(String),
    /// The nonce was used, is too old, or is not of this house.
    #[error("unknown nonce")]
    UnknownNonce,
    /// It could not be asked.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

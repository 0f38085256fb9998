//! Records of a third-party identifier: an e-mail address or a phone number.

use serde::{Deserialize, Serialize};

use super::{Kind, codec::Record};

/// What happens to a third-party identifier. Where its address stands in a payload, the payload is replaced once nobody needs it any more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ThreepidRecord {
    /// A token was sent, with which somebody can prove to receive what is sent there; or another one for the same session.
    #[serde(rename = "vb")]
    ValidationBegun(Validation),
    /// The token came back.
    #[serde(rename = "vd")]
    Validated(Validated),
    /// What was proven has been used, once.
    #[serde(rename = "vu")]
    ValidationUsed(String),
    /// It belongs to an account.
    #[serde(rename = "cl")]
    Claimed(Claim),
    /// It belongs to no account.
    #[serde(rename = "re")]
    Released,
    /// An identity server was told whose it is.
    #[serde(rename = "bo")]
    Bound(Binding),
    /// The identity server was told to forget that.
    #[serde(rename = "ub")]
    Unbound(Binding),
}

/// A session in which an address is validated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validation {
    /// The session, within this identifier.
    pub session: String,
    /// What for.
    pub purpose: String,
    /// `email` or `msisdn`.
    pub medium: String,
    /// The address in canonical form; empty when erased.
    pub address: String,
    /// The digest of the client's secret.
    pub secret: String,
    /// The digest of the token that was sent.
    pub token: String,
    /// Which attempt to send it was.
    pub attempt: u64,
    /// Where the person goes on.
    pub next_link: Option<String>,
    /// When, milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// The token is good until then.
    pub until_ms: u64,
}

/// The token of a session came back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validated {
    /// The session.
    pub session: String,
    /// When, milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// It can be used until then.
    pub until_ms: u64,
}

/// Whose a third-party identifier is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The user; empty when erased.
    pub user_id: String,
    /// `email` or `msisdn`.
    pub medium: String,
    /// The address in canonical form; empty when erased.
    pub address: String,
    /// When the address was validated, milliseconds since the Unix epoch.
    pub validated_ms: u64,
    /// When the account got it.
    pub added_ms: u64,
}

/// What an identity server knows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Binding {
    /// The user.
    pub user_id: String,
    /// The identity server, a host name.
    pub id_server: String,
    /// `email` or `msisdn`.
    pub medium: String,
    /// The address in canonical form.
    pub address: String,
}

impl Record for ThreepidRecord {
    fn kind(&self) -> Kind {
        match self {
            ThreepidRecord::ValidationBegun(_) => 750,
            ThreepidRecord::Validated(_) => 751,
            ThreepidRecord::ValidationUsed(_) => 752,
            ThreepidRecord::Claimed(_) => 753,
            ThreepidRecord::Released => 754,
            ThreepidRecord::Bound(_) => 755,
            ThreepidRecord::Unbound(_) => 756,
        }
    }
}

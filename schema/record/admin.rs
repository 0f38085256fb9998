//! Records of administrators: the tokens of their tools, what was changed through the admin APIs, and moderation policies.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

pub use super::policy::{
    PolicyAction, PolicyDeleted, PolicyRule, PolicyRunBegun, PolicyRunEnded, PolicyRunUndone,
    PolicySaved,
};
use super::{Kind, codec::Record};
use crate::address::Sequence;

/// What happens among administrators.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum AdminRecord {
    /// A token for the admin API was made.
    #[serde(rename = "m")]
    TokenMade(AdminTokenMade),
    /// A token ended before its time.
    #[serde(rename = "r")]
    TokenRevoked(AdminTokenRevoked),
    /// An administrator is about to change something.
    #[serde(rename = "b")]
    ChangeBegun(ChangeBegun),
    /// It is known what became of a change.
    #[serde(rename = "e")]
    ChangeEnded(ChangeEnded),
    /// A moderation policy was written down.
    #[serde(rename = "ps")]
    PolicySaved(PolicySaved),
    /// A moderation policy was struck out.
    #[serde(rename = "pd")]
    PolicyDeleted(PolicyDeleted),
    /// A policy is about to be applied.
    #[serde(rename = "pb")]
    PolicyRunBegun(PolicyRunBegun),
    /// A policy was applied.
    #[serde(rename = "pe")]
    PolicyRunEnded(PolicyRunEnded),
    /// What a policy did was taken back.
    #[serde(rename = "pu")]
    PolicyRunUndone(PolicyRunUndone),
}

/// What an administrator may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum AdminRole {
    /// Look at everything that the admin API shows.
    #[serde(rename = "r")]
    Read,
    /// Act on what people do: users, rooms, media.
    #[serde(rename = "m")]
    Moderate,
    /// Act on the server itself, and on who administers it.
    #[serde(rename = "o")]
    Operate,
}

/// A new token. Only its SHA-256 is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdminTokenMade {
    /// By which it is listed and revoked.
    pub id: String,
    /// SHA-256 of the token.
    pub hash: ByteBuf,
    /// What it is for, in the words of who made it.
    pub name: String,
    /// What may be done with it.
    pub roles: Vec<AdminRole>,
    /// Who made it.
    pub by: String,
    /// When, milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// Until when it is good, milliseconds since the Unix epoch.
    pub until_ms: u64,
}

/// A token that is good no more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdminTokenRevoked {
    /// Which.
    pub id: String,
    /// Who wanted that.
    pub by: String,
    /// When, milliseconds since the Unix epoch.
    pub at_ms: u64,
}

/// What a change is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeTarget {
    /// `user`, `room`, `media`, `registration_token` or whatever else an endpoint names.
    pub kind: String,
    /// Which.
    pub name: String,
}

/// A change, as it was about to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeBegun {
    /// Who: a user ID, or what else let somebody in.
    pub by: String,
    /// When, milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// Method and path, with names for what varies.
    pub action: String,
    /// What it is about, where the request tells.
    pub target: Option<ChangeTarget>,
    /// What was asked for, as JSON, without secrets.
    pub request: String,
    /// How the target stood, as a JSON object, where this server can tell.
    pub before: Option<String>,
    /// The change that is to be taken back.
    pub undoes: Option<Sequence>,
}

/// What became of a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeEnded {
    /// The number of its [`ChangeBegun`].
    pub begun: Sequence,
    /// When, milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// The HTTP status that was answered.
    pub status: u16,
    /// What it is about, where only the answer told.
    pub target: Option<ChangeTarget>,
    /// How the target stands, as a JSON object, where this server can tell.
    pub after: Option<String>,
    /// The change that was taken back.
    pub undoes: Option<Sequence>,
}

/// The kind of [`AdminRecord::ChangeBegun`].
pub const CHANGE_BEGUN: Kind = 842;

/// The kind of [`AdminRecord::ChangeEnded`].
pub const CHANGE_ENDED: Kind = 843;

impl Record for AdminRecord {
    fn kind(&self) -> Kind {
        match self {
            AdminRecord::TokenMade(_) => 840,
            AdminRecord::TokenRevoked(_) => 841,
            AdminRecord::ChangeBegun(_) => CHANGE_BEGUN,
            AdminRecord::ChangeEnded(_) => CHANGE_ENDED,
            AdminRecord::PolicySaved(_) => 844,
            AdminRecord::PolicyDeleted(_) => 845,
            AdminRecord::PolicyRunBegun(_) => 846,
            AdminRecord::PolicyRunEnded(_) => 847,
            AdminRecord::PolicyRunUndone(_) => 848,
        }
    }
}

//! Records of what lets a local user in without a password, once or for a while: login tokens, OAuth authorization codes, browser sessions.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::{Kind, codec::Record};

/// What happens to the passes of a user.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum PassRecord {
    /// A pass was made.
    #[serde(rename = "m")]
    Made(PassMade),
    /// A pass that can be used once was used.
    #[serde(rename = "u")]
    Used(PassUsed),
    /// Passes ended before their time, by their hash.
    #[serde(rename = "e")]
    Ended(Vec<ByteBuf>),
}

/// What a pass is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum PassKind {
    /// Logs in once (`m.login.token`).
    #[serde(rename = "l")]
    Login,
    /// An OAuth authorization code: exchanged once.
    #[serde(rename = "c")]
    Code,
    /// A browser that is let into the account's pages.
    #[serde(rename = "b")]
    Browser,
    /// The user allowed that the cross-signing keys are replaced, once.
    #[serde(rename = "x")]
    CrossSigningReset,
}

/// A new pass. Only its SHA-256 is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassMade {
    /// What it is for.
    pub kind: PassKind,
    /// SHA-256 of the pass.
    pub hash: ByteBuf,
    /// When, milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// Until when it can be used, milliseconds since the Unix epoch.
    pub until_ms: u64,
    /// What goes with it, for whoever made it.
    pub detail: String,
}

/// A pass was used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassUsed {
    /// SHA-256 of the pass.
    pub hash: ByteBuf,
    /// When, milliseconds since the Unix epoch.
    pub at_ms: u64,
}

impl Record for PassRecord {
    fn kind(&self) -> Kind {
        match self {
            PassRecord::Made(_) => 420,
            PassRecord::Used(_) => 421,
            PassRecord::Ended(_) => 422,
        }
    }
}

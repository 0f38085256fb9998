//! Records of who somebody is at another system, by which they log in here (single sign-on).

use serde::{Deserialize, Serialize};

use super::{Kind, codec::Record};

/// What happens to an identity at another system.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ExternalRecord {
    /// It belongs to a user of this server now.
    #[serde(rename = "l")]
    Linked(Linked),
    /// It belongs to nobody.
    #[serde(rename = "u")]
    Unlinked,
    /// A session here began by it.
    #[serde(rename = "sb")]
    SessionBegun(SessionBegun),
    /// All sessions that began by it have ended.
    #[serde(rename = "se")]
    SessionsEnded,
    /// A user of this server has an identity at another system.
    #[serde(rename = "in")]
    IdentityNoted(Identity),
}

/// A session that began by single sign-on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionBegun {
    /// Whose.
    pub user_id: String,
    /// Its device.
    pub device_id: String,
    /// What the other system calls its own session, by which this one began.
    pub sid: Option<String>,
}

/// A name at another system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The other system, by its ID in the configuration.
    pub provider: String,
    /// The name there.
    pub subject: String,
}

/// To whom an identity belongs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Linked {
    /// The other system, by its ID in the configuration.
    pub provider: String,
    /// The name there, which never changes.
    pub subject: String,
    /// The user.
    pub user_id: String,
    /// When, milliseconds since the Unix epoch.
    pub at_ms: u64,
}

impl Record for ExternalRecord {
    fn kind(&self) -> Kind {
        match self {
            ExternalRecord::Linked(_) => 460,
            ExternalRecord::Unlinked => 461,
            ExternalRecord::SessionBegun(_) => 462,
            ExternalRecord::SessionsEnded => 463,
            ExternalRecord::IdentityNoted(_) => 464,
        }
    }
}

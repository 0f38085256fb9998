//! Records of what belongs to this server itself.

use serde::{Deserialize, Serialize};

use super::{Kind, codec::Record};
use crate::address::Position;

/// What happens to the house.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum HouseRecord {
    /// A registration token was made or changed.
    #[serde(rename = "rt")]
    RegistrationTokenSet(RegistrationToken),
    /// A registration token was deleted.
    #[serde(rename = "rd")]
    RegistrationTokenDeleted(String),
    /// A registration with a token was completed: one use more.
    #[serde(rename = "ru")]
    RegistrationTokenUsed(String),
    /// A registration that had counted as a use failed: one use less.
    #[serde(rename = "rb")]
    RegistrationTokenReturned(String),
    /// A user reported something to the administrators.
    #[serde(rename = "rp")]
    Reported(Report),
    /// An administrator deleted a report of the same reporter, by its position in the log. Its text is replaced, too.
    #[serde(rename = "rx")]
    ReportDeleted(Position),
    /// A nonce of registration by shared secret was used: it serves no second time.
    #[serde(rename = "rn")]
    RegistrationNonceUsed(UsedNonce),
}

/// A token that permits registration (client-server API, "Token-authenticated registration").
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistrationToken {
    /// The token itself.
    pub token: String,
    /// How often it may be used; `None` for ever.
    pub uses_max: Option<u64>,
    /// Until when, milliseconds since the Unix epoch; `None` for ever.
    pub expires_ms: Option<u64>,
}

/// A nonce that was used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsedNonce {
    /// What is random of it.
    pub random: String,
    /// Until when it could have been used, milliseconds since the Unix epoch.
    pub until_ms: u64,
}

/// What somebody reported (client-server API, "Reporting content"): a user, an event in a room, or a whole room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Who reports.
    pub reporter: String,
    /// The room.
    pub room_id: Option<String>,
    /// The event in the room.
    pub event_id: Option<String>,
    /// The user.
    pub user_id: Option<String>,
    /// The reason given.
    pub reason: Option<String>,
    /// When, milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// Who sent the event.
    #[serde(default)]
    pub sender: Option<String>,
}

impl Report {
    /// What stands in the log in the place of a report that was deleted.
    pub fn deleted() -> Self {
        Self {
            reporter: String::new(),
            room_id: None,
            event_id: None,
            user_id: None,
            reason: None,
            at_ms: 0,
            sender: None,
        }
    }
}

/// The kind of [`HouseRecord::Reported`].
pub const REPORTED: Kind = 404;

/// The kind of [`HouseRecord::ReportDeleted`].
pub const REPORT_DELETED: Kind = 405;

impl Record for HouseRecord {
    fn kind(&self) -> Kind {
        match self {
            HouseRecord::RegistrationTokenSet(_) => 400,
            HouseRecord::RegistrationTokenDeleted(_) => 401,
            HouseRecord::RegistrationTokenUsed(_) => 402,
            HouseRecord::RegistrationTokenReturned(_) => 403,
            HouseRecord::Reported(_) => REPORTED,
            HouseRecord::ReportDeleted(_) => REPORT_DELETED,
            HouseRecord::RegistrationNonceUsed(_) => 406,
        }
    }
}

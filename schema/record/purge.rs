//! Records of history that administrators have taken out of rooms.

use serde::{Deserialize, Serialize};

use super::{Kind, codec::Record};
use crate::address::Sequence;

/// What happens to the purges.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum PurgeRecord {
    /// An administrator wants it.
    #[serde(rename = "b")]
    Begun(Purge),
    /// It has come to its end.
    #[serde(rename = "e")]
    Ended(PurgeEnded),
}

/// A purge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Purge {
    /// Its name.
    pub id: String,
    /// The room.
    pub room_id: String,
    /// Events of the timeline go that are recorded before this one …
    pub up_to: Sequence,
    /// … and older ones that were fetched later, when they were sent before this time, milliseconds since the Unix epoch.
    pub before_ms: u64,
    /// Events of this server's users go too.
    pub local_too: bool,
    /// The administrator.
    pub by: String,
    /// When it was wanted, milliseconds since the Unix epoch.
    pub at_ms: u64,
}

/// The end of a purge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PurgeEnded {
    /// Its name.
    pub id: String,
    /// Why it failed, if it did.
    pub error: Option<String>,
    /// When, milliseconds since the Unix epoch.
    pub at_ms: u64,
}

impl Record for PurgeRecord {
    fn kind(&self) -> Kind {
        match self {
            PurgeRecord::Begun(_) => 490,
            PurgeRecord::Ended(_) => 491,
        }
    }
}

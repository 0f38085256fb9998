//! Records of what was put away and given out again, of all media, in one order: for tools that follow it.

use serde::{Deserialize, Serialize};

use super::{Kind, codec::Record};

/// What happens to the list of changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum QuarantineRecord {
    /// A piece of media is about to be put away or given out again.
    #[serde(rename = "c")]
    Changed(QuarantineChange),
}

/// A change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuarantineChange {
    /// The server whose media it is.
    pub server_name: String,
    /// The media ID there.
    pub media_id: String,
    /// Put away, or given out again.
    pub quarantined: bool,
}

impl Record for QuarantineRecord {
    fn kind(&self) -> Kind {
        match self {
            QuarantineRecord::Changed(_) => 480,
        }
    }
}

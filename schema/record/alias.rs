//! Records of a room alias.

use serde::{Deserialize, Serialize};

use super::{Kind, codec::Record};

/// What happens to an alias.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum AliasRecord {
    /// It points to a room now.
    #[serde(rename = "p")]
    Pointed(Pointed),
    /// It points nowhere.
    #[serde(rename = "d")]
    Deleted,
}

/// Where an alias points.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pointed {
    /// The room.
    pub room_id: String,
    /// Who made it so.
    pub creator: String,
    /// When, milliseconds since the Unix epoch.
    #[serde(default)]
    pub at_ms: u64,
}

impl Record for AliasRecord {
    fn kind(&self) -> Kind {
        match self {
            AliasRecord::Pointed(_) => 200,
            AliasRecord::Deleted => 201,
        }
    }
}

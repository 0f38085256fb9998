//! Records of the log itself having been restored from a backup.

use serde::{Deserialize, Serialize};

use super::{Kind, codec::Record};
use crate::address::Entity;

/// What happens to the log as a whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum RestoreRecord {
    /// Everything that was recorded after a moment is gone, and the house goes on from there.
    #[serde(rename = "r")]
    Restored(Restored),
}

/// A restore.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Restored {
    /// The moment, milliseconds since the Unix epoch.
    pub until_ms: u64,
    /// When it was restored.
    pub at_ms: u64,
}

/// Whose records these are.
pub fn entity() -> Entity {
    Entity::house("restores")
}

impl Record for RestoreRecord {
    fn kind(&self) -> Kind {
        match self {
            RestoreRecord::Restored(_) => 470,
        }
    }
}

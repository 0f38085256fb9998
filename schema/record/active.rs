//! Records of who was active in the last month.

use serde::{Deserialize, Serialize};

use super::{Kind, codec::Record};

/// What happens to the list of active users.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ActiveRecord {
    /// A user was active: at most one for each user and day.
    #[serde(rename = "a")]
    Active(ActiveUser),
    /// The accounts for which there is always room: all of them, in place of those before.
    #[serde(rename = "r")]
    Reserved(Vec<String>),
}

/// A user who was active.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActiveUser {
    /// The user.
    pub user_id: String,
    /// When, milliseconds since the Unix epoch.
    pub at_ms: u64,
}

impl Record for ActiveRecord {
    fn kind(&self) -> Kind {
        match self {
            ActiveRecord::Active(_) => 551,
            ActiveRecord::Reserved(_) => 552,
        }
    }
}

//! Records of events that are to be sent later (MSC4140).

use serde::{Deserialize, Serialize};

use super::{Kind, codec::Record};

/// What happens to delayed events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DelayRecord {
    /// An event is to be sent when its delay has passed.
    #[serde(rename = "ds")]
    Scheduled(Scheduled),
    /// The delay begins anew.
    #[serde(rename = "dr")]
    Restarted {
        /// Of which.
        delay_id: String,
        /// Since when, milliseconds since the Unix epoch.
        at_ms: u64,
    },
    /// They are handed to their rooms: from now on they cannot be called back.
    #[serde(rename = "dd")]
    Departed(Vec<String>),
    /// It has come to an end.
    #[serde(rename = "df")]
    Finished(Finished),
    /// Nothing is told of them any more. Their contents are taken out of the log with it.
    #[serde(rename = "dg")]
    Forgotten(Vec<String>),
}

/// An event to be sent later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scheduled {
    /// Its name, and the key to it.
    pub delay_id: String,
    /// Who sends it.
    pub user_id: String,
    /// From which device.
    pub device_id: String,
    /// The client's transaction, if the request had one.
    pub transaction_id: Option<String>,
    /// Where to.
    pub room_id: String,
    /// The event type.
    pub event_type: String,
    /// The state key of a state event.
    pub state_key: Option<String>,
    /// The content, as JSON text. Empty once it was taken out.
    pub content: String,
    /// How long it waits, milliseconds.
    pub delay_ms: u64,
    /// When it was asked for, milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// The sender is a guest.
    pub guest: bool,
    /// It sticks to the room for so long once it is sent, milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sticky_ms: Option<u64>,
}

/// How a delayed event ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finished {
    /// Which.
    pub delay_id: String,
    /// When, milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// How.
    pub outcome: Outcome,
}

/// What became of a delayed event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It was sent and has this event ID.
    #[serde(rename = "s")]
    Sent(String),
    /// The room refused it.
    #[serde(rename = "r")]
    Refused {
        /// The code.
        errcode: String,
        /// Why.
        error: String,
    },
    /// Somebody called it back.
    #[serde(rename = "c")]
    Cancelled,
    /// Somebody else has set the same state meanwhile.
    #[serde(rename = "o")]
    Overtaken,
}

impl Record for DelayRecord {
    fn kind(&self) -> Kind {
        match self {
            DelayRecord::Scheduled(_) => 700,
            DelayRecord::Restarted { .. } => 701,
            DelayRecord::Departed(_) => 702,
            DelayRecord::Finished(_) => 703,
            DelayRecord::Forgotten(_) => 704,
        }
    }
}

//! Everything an outbox of the push gateway can be asked.

pub use playhouse_schema::record::gateway::PushOutcome;
use serde::{Deserialize, Serialize};

use crate::kernel::Unavailable;

/// What can be done with notifications.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum GatewayCommand {
    /// Pass on a notification to one device. Answers `Accepted`, a repetition with the same name; or `Rejected`.
    Accept(Box<NewPush>),
    /// An attempt is over.
    Settle {
        /// Which notification.
        push_id: String,
        /// So many attempts went before.
        attempts: u32,
        /// What the provider said.
        verdict: Verdict,
        /// Somebody waits for it, who tells the homeserver.
        told: bool,
    },
    /// The time of these is over.
    Expire {
        /// Which.
        push_ids: Vec<String>,
        /// That was so at this time, whatever a clock that is set back says later.
        now_ms: u64,
    },
    /// Take the contents of what has ended out of the log.
    Erase,
    /// A homeserver has been told that this device's pushkey is dead.
    Told(String),
}

/// A notification for one device.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NewPush {
    /// A digest of that by which the provider knows it, as [`super::device_digest`] of app ID and pushkey.
    pub device: String,
    /// A digest by which a repetition is known, when the notification is about an event.
    pub digest: Option<String>,
    /// The app ID.
    pub app_id: String,
    /// The pushkey.
    pub pushkey: String,
    /// When the pushkey was set, milliseconds since the Unix epoch; 0 when nobody says.
    pub pushkey_ts_ms: u64,
    /// The device's `data`, as JSON text.
    pub data: String,
    /// The notification without its devices, as JSON text.
    pub notification: String,
    /// It is of no use to anybody after so long.
    pub ttl_ms: u64,
    /// What it says of counts, as the JSON text of a notification that says nothing else.
    #[serde(default)]
    pub counts: Option<String>,
    /// The span that brings it, as in a `traceparent` header.
    #[serde(default)]
    pub trace: String,
}

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// The provider has it.
    Delivered,
    /// The provider says that the pushkey is dead.
    Rejected(String),
    /// With what came along the pushkey cannot be used. Whoever sent that hears of it as of a dead pushkey; it is not kept for others, who may send better.
    Unusable(String),
    /// The provider will never take this notification.
    Refused(String),
    /// There is nothing in it that the app could show.
    Needless,
    /// It may be taken later.
    Later {
        /// Not before so long, if the provider says so.
        after_ms: Option<u64>,
        /// What the provider said.
        reason: String,
    },
}

/// What a command answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GatewayReply {
    /// It is passed on, under this name. How that ends is told by [`GatewayQuery::Await`].
    Accepted(String),
    /// The pushkey is known to be dead.
    Rejected,
    /// It is done.
    Done,
}

/// What can be asked about notifications.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum GatewayQuery {
    /// How one ends, once it has. Answers `Ended`.
    Await(String),
    /// How many wait. Answers `Length`.
    Length,
}

/// What a query answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GatewayAnswer {
    /// It has ended.
    Ended {
        /// The pushkey is dead.
        rejected: bool,
        /// That is kept for the homeserver's next request, and must be told to be forgotten when this answer reaches it.
        kept: bool,
    },
    /// So many wait.
    Length(usize),
}

/// What an outbox hears.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum GatewaySignal {
    /// It may be time for something.
    Tick,
}

/// Why an outbox refuses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum GatewayError {
    /// As much waits as fits, for this device or for all.
    #[error("too many notifications wait")]
    Full,
    /// It could not be asked.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

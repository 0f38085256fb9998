//! Everything a schedule of delayed events can be asked.

use std::sync::Arc;

pub use playhouse_schema::record::delay::Outcome;
use serde::{Deserialize, Serialize};

use super::state::Delayed;
use crate::kernel::Unavailable;

/// What can be done with delayed events.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum DelayCommand {
    /// Send an event later. Answers `Scheduled`; a repeat of the transaction with the same name.
    Schedule(Box<NewDelay>),
    /// Let its delay begin anew.
    Restart(String),
    /// Never send it.
    Cancel(String),
    /// Send it now. How that went is told by [`DelayQuery::Await`].
    Depart(String),
    /// Send what is due, and forget what ended long ago.
    DepartDue,
    /// Never send those of these that somebody else scheduled before this time: their state was set meanwhile.
    Overtake {
        /// Which, perhaps.
        delay_ids: Vec<String>,
        /// Who has set the state.
        sender: String,
        /// When, milliseconds since the Unix epoch.
        at_ms: u64,
    },
    /// What departed has arrived, or was refused.
    Finish {
        /// Which.
        delay_id: String,
        /// How.
        outcome: Outcome,
    },
    /// Send nothing of this user any more, and keep nothing. At most a page at once: answers `Done` when there was no more.
    Clear(String),
}

/// An event that somebody wants to be sent later.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NewDelay {
    /// Who.
    pub user_id: String,
    /// From which device.
    pub device_id: String,
    /// The client's transaction, if the request has one.
    pub transaction_id: Option<String>,
    /// Where to.
    pub room_id: String,
    /// The event type.
    pub event_type: String,
    /// The state key of a state event.
    pub state_key: Option<String>,
    /// The content, as JSON text.
    pub content: String,
    /// How long it waits, milliseconds.
    pub delay_ms: u64,
    /// The sender is a guest.
    pub guest: bool,
    /// It sticks to the room for so long once it is sent, milliseconds (MSC4354).
    #[serde(default)]
    pub sticky_ms: Option<u64>,
}

/// What a command answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DelayReply {
    /// It waits, under this name.
    Scheduled(String),
    /// It is done.
    Done,
    /// A part of it is done: to be repeated.
    More,
}

/// What can be asked about delayed events.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum DelayQuery {
    /// All of a user that are still known. Answers `List`.
    List(String),
    /// One. Answers `List`, of one.
    One(String),
    /// How one that departed ends, once it has. Answers `Ended`.
    Await(String),
}

/// What a query answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum DelayAnswer {
    /// Delayed events.
    List(Vec<Arc<Delayed>>),
    /// How it ended.
    Ended(Outcome),
}

/// What a schedule hears.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum DelaySignal {
    /// It may be time for something.
    Tick,
    /// The attempt to send it is over: if it is not finished by now, it may be tried again.
    Unhand(String),
}

/// Why a schedule refuses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum DelayError {
    /// There is none of this name.
    #[error("unknown delayed event")]
    Unknown,
    /// It has ended otherwise already.
    #[error("the delayed event has ended already")]
    Ended,
    /// The delay is longer than the server allows.
    #[error("the delay is too long")]
    TooLong {
        /// What it allows, milliseconds.
        max_ms: u64,
    },
    /// The user has as many as may wait.
    #[error("too many delayed events")]
    TooMany,
    /// All users together have as much as fits.
    #[error("too many delayed events wait on this server")]
    Full,
    /// The content is no JSON at all.
    #[error("{0}")]
    NotJson(String),
    /// The content is no JSON object.
    #[error("{0}")]
    BadJson(String),
    /// The content is larger than an event may be.
    #[error("event is too large")]
    TooLarge,
    /// It could not be asked.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

//! Everything a remote server's actor can be asked.

use std::sync::Arc;

use playhouse_schema::record::server::{Departed, Lag, Owed, ServerRecord};
use serde::{Deserialize, Serialize};

use super::{
    outlook::{Outlook, SentEvent},
    state::Server,
};
use crate::kernel::Unavailable;

/// What it can be told to do: what its own delivery reports, but for `Owe`. Answers the records that came of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum ServerCommand {
    /// A transaction goes out. The one before it was acknowledged, if this names it.
    Depart {
        /// The new one.
        departed: Box<Departed>,
        /// The one that was acknowledged.
        acknowledged: Option<String>,
    },
    /// This transaction was acknowledged.
    Acknowledge(String),
    /// An attempt failed; the next one is not made before a time.
    Fail {
        /// That time, milliseconds since the Unix epoch.
        next_ms: u64,
        /// From where on it is behind, if that was not noted yet.
        lag: Option<Lag>,
    },
    /// It is behind from these positions on.
    LagBehind(Lag),
    /// It has caught up: up to these positions, or altogether.
    CatchUp(Option<Lag>),
    /// It is to be sent something beside what is read of the log in order. Once for each record; refused with `TooMuch` when it is owed very much already.
    Owe(Box<Owed>),
}

/// What a command comes to.
pub type ServerReply = Vec<ServerRecord>;

/// What it can be asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum ServerQuery {
    /// All that is kept of it. Answers `State`.
    State,
    /// How things stand with it, and with an event that is meant for it. Answers `Outlook`.
    Outlook(Option<SentEvent>),
}

/// What a query answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ServerAnswer {
    /// All that is kept of it.
    State(Arc<Server>),
    /// How things stand with it.
    Outlook(Box<Outlook>),
}

/// What it hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServerSignal {
    /// There is something to send, or the time for another attempt has come.
    Nudge,
    /// It gave a sign of life: whoever waits for it need not wait any longer.
    Alive,
    /// The delivery has ended.
    Ended,
    /// Another node was asked something by it. Counts as a sign of life now and then only.
    Heard,
}

/// Why a command is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum ServerError {
    /// Another transaction is on its way.
    #[error("another transaction is on its way")]
    OutOfTurn,
    /// It is owed too much already.
    #[error("it is owed too much already")]
    TooMuch,
    /// It could not be asked.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

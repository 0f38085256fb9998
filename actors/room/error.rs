//! Why a room refuses.

use ruma::RoomVersionId;
use serde::{Deserialize, Serialize};

use super::policy::Unrecommended;
use crate::kernel::Unavailable;

/// Why a room refuses a command or a query.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum RoomError {
    /// There is no such room here, or the reader may not know of it.
    #[error("unknown room")]
    UnknownRoom,
    /// There is no such event or state, or the reader may not see it.
    #[error("not found")]
    NotFound,
    /// The room has no such event in memory: whether it exists at all, the log knows.
    #[error("event is not at hand")]
    NotAtHand,
    /// The authorisation rules, or the reader's membership, forbid it. The text names the rule.
    #[error("{0}")]
    Forbidden(String),
    /// A guest tried what guests may not.
    #[error("guests may not do this")]
    GuestForbidden,
    /// The content is not what the event type or the room version demands.
    #[error("{0}")]
    BadJson(String),
    /// The content is no JSON at all.
    #[error("{0}")]
    NotJson(String),
    /// A parameter (pagination token, event ID) makes no sense here.
    #[error("{0}")]
    InvalidParam(String),
    /// The event is larger than an event may be.
    #[error("event is too large")]
    TooLarge,
    /// The alias is bad or points elsewhere.
    #[error("{0}")]
    BadAlias(String),
    /// The room version is not known or not allowed.
    #[error("room version {0} is not supported")]
    UnsupportedVersion(RoomVersionId),
    /// No local user of a restricted room may let this user in.
    #[error("{0}")]
    UnableToGrantJoin(String),
    /// The room exists already, or the initial state contradicts itself.
    #[error("{0}")]
    InvalidRoomState(String),
    /// The room is no longer what it was when this was weighed: to be weighed again. Never leaves the house.
    #[error("the room has moved on")]
    Moved,
    /// The room's policy server must recommend the event first. Never leaves the house.
    #[error("the room's policy server must be asked")]
    Unrecommended(Box<Unrecommended>),
    /// The room's policy server does not recommend the event.
    #[error("{errcode}: {error}")]
    NotRecommended {
        /// The Matrix error code.
        errcode: String,
        /// What it says.
        error: String,
    },
    /// Members of the room are not known yet that this depends on: they are being fetched.
    #[error("the members of this room are still being fetched")]
    PartialState,
    /// The store could not be read.
    #[error("store: {0}")]
    Store(String),
    /// The room could not be asked.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl From<playhouse_schema::port::StoreError> for RoomError {
    fn from(error: playhouse_schema::port::StoreError) -> Self {
        RoomError::Store(error.to_string())
    }
}

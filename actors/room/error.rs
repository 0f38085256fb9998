//! Why a room refuses.

use playhouse_schema::port::StoreError;
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
    /// What is recorded of the room cannot be read, or is more than this server can work with: it stays so until that is repaired.
    #[error("this room is broken here: {0}")]
    Broken(String),
    /// Members of the room are not known yet that this depends on: they are being fetched.
    #[error("the members of this room are still being fetched")]
    PartialState,
    /// The store could not be read now: the database is away, or slow.
    #[error("store: {0}")]
    Store(String),
    /// The room could not be asked.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl RoomError {
    /// Whether the room will say the same however often it is asked again, and whatever becomes of the store: the trouble is the room's own.
    pub fn is_lasting(&self) -> bool {
        match self {
            RoomError::UnknownRoom
            | RoomError::NotFound
            | RoomError::Forbidden(_)
            | RoomError::GuestForbidden
            | RoomError::BadJson(_)
            | RoomError::NotJson(_)
            | RoomError::InvalidParam(_)
            | RoomError::TooLarge
            | RoomError::BadAlias(_)
            | RoomError::UnsupportedVersion(_)
            | RoomError::UnableToGrantJoin(_)
            | RoomError::InvalidRoomState(_)
            | RoomError::Broken(_)
            | RoomError::Unavailable(Unavailable::Damaged) => true,
            // The first ones depend on the moment, the others on somebody else: the store, a policy server, the load.
            RoomError::NotAtHand
            | RoomError::Moved
            | RoomError::Unrecommended(_)
            | RoomError::NotRecommended { .. }
            | RoomError::PartialState
            | RoomError::Store(_)
            | RoomError::Unavailable(
                Unavailable::Overloaded | Unavailable::Timeout | Unavailable::Stopped,
            ) => false,
        }
    }
}

impl From<StoreError> for RoomError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Damaged(_) => RoomError::Broken(error.to_string()),
            error => RoomError::Store(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_is_the_rooms_own_and_a_failing_store_is_not() {
        for (error, is_lasting) in [
            (StoreError::Damaged("record".to_owned()), true),
            (StoreError::Database("disk full".to_owned()), false),
            (StoreError::InDoubt("gone".to_owned()), false),
            (StoreError::Locked("held".to_owned()), false),
            (StoreError::Incompatible("newer".to_owned()), false),
        ] {
            let error = RoomError::from(error);
            assert_eq!(error.is_lasting(), is_lasting, "{error}");
        }
        for (error, is_lasting) in [
            (Unavailable::Damaged, true),
            (Unavailable::Stopped, false),
            (Unavailable::Timeout, false),
            (Unavailable::Overloaded, false),
        ] {
            assert_eq!(
                RoomError::from(error.clone()).is_lasting(),
                is_lasting,
                "{error}"
            );
        }
    }
}

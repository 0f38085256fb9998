//! Everything an alias can be asked.

use ruma::{OwnedRoomId, OwnedUserId};
use serde::{Deserialize, Serialize};

use crate::kernel::Unavailable;

/// What an alias can be told to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum AliasCommand {
    /// Point to a room. Refused with `Taken` when it points somewhere already, be it the same room.
    Create {
        /// The room.
        room_id: OwnedRoomId,
        /// Who wants it.
        creator: OwnedUserId,
    },
    /// Point to another room (a room upgrade). Nothing happens when it points there already.
    Repoint {
        /// The room it points to now, else `Unknown`.
        from: OwnedRoomId,
        /// The room it shall point to.
        to: OwnedRoomId,
        /// Who creates the alias anew; `None` keeps its creator.
        creator: Option<OwnedUserId>,
    },
    /// Point nowhere. Nothing happens when it points nowhere already.
    Delete {
        /// Only if it points there.
        room_id: OwnedRoomId,
    },
}

/// What a command answers: it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AliasReply;

/// What an alias can be asked.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum AliasQuery {
    /// Where it points; `Unknown` when nowhere.
    Resolve,
}

/// Where an alias points.
pub type AliasAnswer = AliasTarget;

/// Where an alias points.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AliasTarget {
    /// The room.
    pub room_id: OwnedRoomId,
    /// Who made it so.
    pub creator: OwnedUserId,
    /// Since when, milliseconds since the Unix epoch.
    pub at_ms: u64,
}

/// Why an alias refuses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum AliasError {
    /// It points nowhere.
    #[error("unknown alias")]
    Unknown,
    /// It points to a room already.
    #[error("alias is taken")]
    Taken(AliasTarget),
    /// It could not be asked.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

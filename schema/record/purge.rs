//! Records of history that administrators have taken out of rooms, of rooms that they have deleted, of those that they do not want here, and of users whose
//! events they redact.

use serde::{Deserialize, Serialize};

use super::{Kind, codec::Record};
use crate::address::Sequence;

/// What happens to the purges.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum PurgeRecord {
    /// An administrator wants it.
    #[serde(rename = "b")]
    Begun(Purge),
    /// It has come to its end.
    #[serde(rename = "e")]
    Ended(PurgeEnded),
    /// A room is to be deleted.
    #[serde(rename = "d")]
    DeletionBegun(Deletion),
    /// A deletion has come further.
    #[serde(rename = "m")]
    DeletionMoved(DeletionMoved),
    /// A deletion has come to its end.
    #[serde(rename = "f")]
    DeletionEnded(PurgeEnded),
    /// A room is wanted here no more, or again.
    #[serde(rename = "k")]
    RoomBlockSet(RoomBlockSet),
    /// An administrator wants everything redacted that a user sent.
    #[serde(rename = "r")]
    RedactionBegun(UserRedaction),
    /// Such a redaction has come further.
    #[serde(rename = "n")]
    RedactionMoved(RedactionMoved),
    /// Such a redaction has come to its end.
    #[serde(rename = "z")]
    RedactionEnded(PurgeEnded),
    /// A purge, or what a deletion takes out of the log, has come further.
    #[serde(rename = "p")]
    Progressed(PurgeProgress),
}

/// How far the records of a room were gone through.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PurgeProgress {
    /// Whose progress it is.
    pub id: String,
    /// The room's records up to this one are done …
    pub up_to: Sequence,
    /// … of so many.
    pub of: Sequence,
    /// The contents of so many are gone.
    pub erased: u64,
}

/// A purge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Purge {
    /// Its name.
    pub id: String,
    /// The room.
    pub room_id: String,
    /// Events of the timeline go that are recorded before this one …
    pub up_to: Sequence,
    /// … and older ones that were fetched later, when they were sent before this time, milliseconds since the Unix epoch.
    pub before_ms: u64,
    /// Events of this server's users go too.
    pub local_too: bool,
    /// The administrator.
    pub by: String,
    /// When it was wanted, milliseconds since the Unix epoch.
    pub at_ms: u64,
}

/// The end of a purge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PurgeEnded {
    /// Its name.
    pub id: String,
    /// Why it failed, if it did.
    pub error: Option<String>,
    /// When, milliseconds since the Unix epoch.
    pub at_ms: u64,
}

/// A room that is to be deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deletion {
    /// Its name.
    pub id: String,
    /// The room.
    pub room_id: String,
    /// The administrator; `None`: all have forgotten the room.
    pub by: Option<String>,
    /// When it was wanted, milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// Not before this time, milliseconds since the Unix epoch.
    pub due_ms: u64,
    /// The room's data goes, too.
    pub purge: bool,
    /// Also when somebody could not be made to leave.
    pub force_purge: bool,
    /// Where its members go.
    pub new_room: Option<DeletionRoom>,
}

/// The room that members of a deleted room come into.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeletionRoom {
    /// Who makes it.
    pub creator: String,
    /// Its name.
    pub name: String,
    /// What is said there.
    pub message: String,
}

/// What a deletion has done since it was last told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeletionMoved {
    /// Its name.
    pub id: String,
    /// The room that was made for the members.
    pub new_room_id: Option<String>,
    /// Users that were made to leave.
    pub kicked: Vec<String>,
    /// Users of whom that failed.
    pub failed: Vec<String>,
    /// Aliases that name the new room now.
    pub aliases: Vec<String>,
    /// Nothing in the room counts any more: only what is left on disk is to go.
    pub emptied: bool,
}

/// Whether a room is kept out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomBlockSet {
    /// The room.
    pub room_id: String,
    /// Nobody of this server comes in.
    pub blocked: bool,
    /// The administrator.
    pub by: String,
    /// When, milliseconds since the Unix epoch.
    pub at_ms: u64,
}

/// Everything that a user sent to some rooms is to be redacted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserRedaction {
    /// Its name.
    pub id: String,
    /// The user.
    pub user_id: String,
    /// The rooms, in the order in which it is done.
    pub rooms: Vec<String>,
    /// The reason given.
    pub reason: Option<String>,
    /// At most so many events of each room, the newest.
    pub limit: u64,
    /// The administrator redacts, and not the user.
    pub use_admin: bool,
    /// Only what was sent after this time, milliseconds since the Unix epoch.
    pub after_ms: Option<u64>,
    /// Only what was sent before this time.
    pub before_ms: Option<u64>,
    /// The administrator.
    pub by: String,
    /// When it was wanted, milliseconds since the Unix epoch.
    pub at_ms: u64,
}

/// What a redaction of a user's events has done since it was last told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedactionMoved {
    /// Its name.
    pub id: String,
    /// So many of the rooms are done.
    pub rooms_done: u64,
    /// Events that could not be redacted, and why.
    pub failed: Vec<(String, String)>,
}

impl Record for PurgeRecord {
    fn kind(&self) -> Kind {
        match self {
            PurgeRecord::Begun(_) => 490,
            PurgeRecord::Ended(_) => 491,
            PurgeRecord::DeletionBegun(_) => 492,
            PurgeRecord::DeletionMoved(_) => 493,
            PurgeRecord::DeletionEnded(_) => 494,
            PurgeRecord::RoomBlockSet(_) => 495,
            PurgeRecord::RedactionBegun(_) => 496,
            PurgeRecord::RedactionMoved(_) => 497,
            PurgeRecord::RedactionEnded(_) => 498,
            PurgeRecord::Progressed(_) => 499,
        }
    }
}

//! Everything the key backups of a user can be asked.

use playhouse_schema::address::Sequence;
pub use playhouse_schema::record::backup::SessionQuality;
use serde::{Deserialize, Serialize};

use crate::{kernel::Unavailable, room::message::JsonText};

/// What the backups can be told to do. Versions are the texts that clients know; one that is no number of ours is unknown.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum BackupCommand {
    /// Begin a version, which is the current one from now on. Answers `Version`.
    CreateVersion {
        /// How its sessions are encrypted.
        algorithm: String,
        /// The `auth_data` object.
        auth_data: JsonText,
    },
    /// Change a version's `auth_data`. Answers `Done`.
    SetAuthData {
        /// Which version.
        version: String,
        /// Must be the version's.
        algorithm: String,
        /// The `auth_data` object.
        auth_data: JsonText,
    },
    /// End a version. Answers `Done`.
    DeleteVersion(String),
    /// Store sessions in the current version; a session that is there in a better copy is left alone. Answers `Extent`.
    StoreSessions {
        /// Must be the current version.
        version: String,
        /// The sessions.
        sessions: Vec<NewSession>,
    },
    /// Delete sessions. Answers `Extent`.
    DeleteSessions(Selection),
    /// End all versions: the account was closed. Answers `Done`.
    DeleteAll,
    /// Erase some of what nothing refers to any more. The actor tells itself. Answers `Done`.
    Sweep,
}

/// A session to be stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewSession {
    /// The room it is for.
    pub room_id: String,
    /// Its ID.
    pub session_id: String,
    /// How good this copy is.
    pub quality: SessionQuality,
    /// The `session_data` object.
    pub data: JsonText,
}

/// Some sessions of a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selection {
    /// Which version.
    pub version: String,
    /// Only of this room.
    pub room_id: Option<String>,
    /// Only this one.
    pub session_id: Option<String>,
}

/// What a command answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BackupReply {
    /// It is done.
    Done,
    /// The new version.
    Version(String),
    /// What the version holds now.
    Extent(Extent),
}

/// How much a version holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extent {
    /// Sessions.
    pub count: u64,
    /// Another one after every change.
    pub etag: String,
}

/// What the backups can be asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum BackupQuery {
    /// A version, or the current one. Answers `Version`.
    Describe(Option<String>),
    /// Where sessions are. Answers `Places`.
    Find(Selection),
}

/// What a query answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BackupAnswer {
    /// A version.
    Version(Description),
    /// By room, the records that hold the sessions, oldest first.
    Places(Vec<(String, Vec<Sequence>)>),
}

/// A version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// Its name.
    pub version: String,
    /// How its sessions are encrypted.
    pub algorithm: String,
    /// The `auth_data` object.
    pub auth_data: JsonText,
    /// How much it holds.
    pub extent: Extent,
}

/// Why the backups refuse.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum BackupError {
    /// There is no such version, or none at all.
    #[error("unknown backup version")]
    UnknownVersion,
    /// The version is not the current one.
    #[error("wrong backup version, the current one is {current}")]
    WrongVersion {
        /// The current version.
        current: String,
    },
    /// There is no such session.
    #[error("unknown session")]
    UnknownSession,
    /// What was sent makes no sense: the text says what.
    #[error("{0}")]
    InvalidParam(String),
    /// JSON that is not what it must be.
    #[error("{0}")]
    BadJson(String),
    /// More than may be kept, or more than may be sent at once.
    #[error("{0}")]
    TooLarge(String),
    /// It could not be asked.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

//! Records of a user's key backups.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::{Kind, codec::Record};
use crate::address::Sequence;

/// What happens to the key backups of a user.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum BackupRecord {
    /// A version began; it is the current one.
    #[serde(rename = "v")]
    VersionCreated(VersionCreated),
    /// A version's `auth_data` changed.
    #[serde(rename = "a")]
    AuthDataSet(AuthDataSet),
    /// A version ended with all its sessions.
    #[serde(rename = "x")]
    VersionDeleted(u64),
    /// A session was stored, in the place of the one there was.
    #[serde(rename = "s")]
    SessionStored(SessionStored),
    /// Sessions were deleted.
    #[serde(rename = "d")]
    SessionsDeleted(SessionsDeleted),
    /// The payloads of these records, which nothing refers to any more, were replaced by [`BackupRecord::SessionErased`].
    #[serde(rename = "w")]
    Swept(Vec<Sequence>),
    /// Stands where a session was that is gone.
    #[serde(rename = "e")]
    SessionErased,
}

impl Record for BackupRecord {
    fn kind(&self) -> Kind {
        match self {
            BackupRecord::VersionCreated(_) => 350,
            BackupRecord::AuthDataSet(_) => 351,
            BackupRecord::VersionDeleted(_) => 352,
            BackupRecord::SessionStored(_) => 353,
            BackupRecord::SessionsDeleted(_) => 354,
            BackupRecord::Swept(_) => 355,
            BackupRecord::SessionErased => 356,
        }
    }
}

/// A version of the backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionCreated {
    /// Its number, one more than that of any before it.
    pub version: u64,
    /// How its sessions are encrypted.
    pub algorithm: String,
    /// The `auth_data` object as JSON.
    pub auth_data: ByteBuf,
}

/// A version's changed `auth_data`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthDataSet {
    /// Which version.
    pub version: u64,
    /// The `auth_data` object as JSON.
    pub auth_data: ByteBuf,
}

/// A session in a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionStored {
    /// Which version.
    pub version: u64,
    /// The room it is for.
    pub room_id: String,
    /// Its ID.
    pub session_id: String,
    /// What tells which of two copies is the better one.
    pub quality: SessionQuality,
    /// The `session_data` object as JSON.
    pub data: ByteBuf,
    /// The version's etag from now on: one more than before, the same for what was uploaded together.
    pub etag: u64,
}

/// How good a copy of a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionQuality {
    /// The first message that it can decrypt.
    pub first_message_index: u64,
    /// How often it was passed on.
    pub forwarded_count: u64,
    /// It came from a device that the user had verified.
    pub is_verified: bool,
}

/// Sessions that were deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionsDeleted {
    /// Which version.
    pub version: u64,
    /// Only of this room.
    pub room_id: Option<String>,
    /// Only this one.
    pub session_id: Option<String>,
    /// The version's etag from now on.
    pub etag: u64,
}

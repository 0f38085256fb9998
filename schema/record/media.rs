//! Records of a piece of media.

use serde::{Deserialize, Serialize};

use super::{Kind, codec::Record};

/// What happens to a piece of media.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum MediaRecord {
    /// Its ID was handed out before the content (`POST /_matrix/media/v1/create`).
    #[serde(rename = "r")]
    Reserved(Reserved),
    /// Its content is on disk.
    #[serde(rename = "u")]
    Uploaded(Uploaded),
}

/// A media ID without content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reserved {
    /// Who may upload.
    pub user_id: String,
    /// Until when, milliseconds since the Unix epoch.
    pub expires_ms: u64,
}

/// A media ID with content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uploaded {
    /// Who uploaded it.
    pub user_id: String,
    /// The name under which the content is stored: the hash it was made from, lower-case hexadecimal, with a prefix that says which hash, or none for SHA-256,
    /// which was the first.
    pub sha256: String,
    /// Length of the content.
    pub size_bytes: u64,
    /// As the client said.
    pub content_type: Option<String>,
    /// As the client said.
    pub file_name: Option<String>,
    /// When, milliseconds since the Unix epoch.
    pub at_ms: u64,
}

impl Record for MediaRecord {
    fn kind(&self) -> Kind {
        match self {
            MediaRecord::Reserved(_) => 300,
            MediaRecord::Uploaded(_) => 301,
        }
    }
}

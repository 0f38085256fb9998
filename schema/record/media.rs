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
    /// An administrator put it away: nobody is given it.
    #[serde(rename = "q")]
    Quarantined(Judged),
    /// It is given out again.
    #[serde(rename = "f")]
    Released(Judged),
    /// It cannot be put away.
    #[serde(rename = "p")]
    Protected(Judged),
    /// It can be put away again.
    #[serde(rename = "x")]
    Unprotected(Judged),
    /// Its content was deleted. That of another server's media may be fetched once more.
    #[serde(rename = "d")]
    Removed(Judged),
    /// It was used at this time: noted now and then, not with every use.
    #[serde(rename = "n")]
    Used(u64),
}

/// Who decided something about a piece of media, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judged {
    /// The administrator; empty for this server itself.
    pub by: String,
    /// When, milliseconds since the Unix epoch.
    pub at_ms: u64,
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

impl Uploaded {
    /// Whether it is the picture of a preview: those are kept for some days, and apart.
    pub fn is_of_preview(&self) -> bool {
        self.sha256.starts_with('p')
    }
}

impl Record for MediaRecord {
    fn kind(&self) -> Kind {
        match self {
            MediaRecord::Reserved(_) => 300,
            MediaRecord::Uploaded(_) => 301,
            MediaRecord::Quarantined(_) => 302,
            MediaRecord::Released(_) => 303,
            MediaRecord::Protected(_) => 304,
            MediaRecord::Unprotected(_) => 305,
            MediaRecord::Removed(_) => 306,
            MediaRecord::Used(_) => 307,
        }
    }
}

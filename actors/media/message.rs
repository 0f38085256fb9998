//! Everything a piece of media can be asked.

pub use playhouse_schema::record::media::{Reserved, Uploaded};
use serde::{Deserialize, Serialize};

use crate::kernel::Unavailable;

/// What a piece of media can be told to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum MediaCommand {
    /// Hand out the ID before the content. Refused with `CannotOverwrite` when the ID is in use.
    Reserve(Reserved),
    /// The content is on disk. A reserved ID takes it only from who reserved it, and in time. Repeating the same upload changes nothing.
    Complete(Uploaded),
    /// Give it to nobody any more. Media of another server need not be here for that. What is protected stays as it is.
    Quarantine {
        /// The administrator.
        by: String,
    },
    /// Give it out again.
    Release {
        /// The administrator.
        by: String,
    },
    /// Let it not be put away, or let it be again.
    Protect {
        /// Whether it is protected from now on.
        on: bool,
        /// The administrator.
        by: String,
    },
    /// Its content was deleted. `Unknown` when there is none.
    Remove {
        /// The administrator; empty for this server itself.
        by: String,
    },
    /// It is being used. Noted only when the last note is older than this.
    NoteUse {
        /// Milliseconds.
        every_ms: u64,
    },
}

/// What a command answers: it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaReply {
    /// Whether anything is different now.
    pub changed: bool,
}

/// What a piece of media can be asked.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum MediaQuery {
    /// What it is, for those who want its content; `Unknown` when the ID was never handed out.
    Describe,
    /// The same, but answered only once the content is there. Who asks says by a timeout how long to wait.
    Await,
    /// All there is to know, for administrators: [`MediaAnswer::Facts`].
    Facts,
}

/// What a piece of media is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MediaAnswer {
    /// The content is still to come.
    Awaited(Reserved),
    /// The content is there.
    There {
        /// What it is.
        uploaded: Uploaded,
        /// When it was last used, as far as was noted.
        used_ms: u64,
    },
    /// All there is to know.
    Facts(Box<MediaFacts>),
}

/// All there is to know of a piece of media.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaFacts {
    /// The ID was handed out before the content.
    pub reserved: Option<Reserved>,
    /// The content, while it is there.
    pub uploaded: Option<Uploaded>,
    /// When it was last used, as far as was noted.
    pub used_ms: u64,
    /// Who put it away.
    pub quarantined_by: Option<String>,
    /// Whether it cannot be put away.
    pub protected: bool,
}

/// Why a piece of media refuses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum MediaError {
    /// No such media.
    #[error("unknown media")]
    Unknown,
    /// An administrator put it away.
    #[error("media is in quarantine")]
    Quarantined,
    /// Its content was deleted.
    #[error("media was deleted")]
    Removed,
    /// The ID has its content.
    #[error("media cannot be overwritten")]
    CannotOverwrite,
    /// Somebody else reserved the ID.
    #[error("somebody else reserved this media ID")]
    Forbidden,
    /// The time to upload is over.
    #[error("the reserved media ID has expired")]
    Expired,
    /// It could not be asked.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

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
}

/// What a command answers: it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaReply;

/// What a piece of media can be asked.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum MediaQuery {
    /// What it is; `Unknown` when the ID was never handed out.
    Describe,
    /// The same, but answered only once the content is there. Who asks says by a timeout how long to wait.
    Await,
}

/// What a piece of media is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MediaAnswer {
    /// The content is still to come.
    Awaited(Reserved),
    /// The content is there.
    There(Uploaded),
}

/// Why a piece of media refuses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum MediaError {
    /// No such media.
    #[error("unknown media")]
    Unknown,
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

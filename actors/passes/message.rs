//! Everything about the passes of a user that can be asked.

pub use playhouse_schema::record::pass::PassKind;
use ruma::OwnedUserId;
use serde::{Deserialize, Serialize};

use crate::kernel::Unavailable;

/// What can be done with passes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum PassCommand {
    /// Make one. Answers `Made`. The oldest of the same kind end when there are too many.
    Make {
        /// Whose: the token names its owner.
        user_id: OwnedUserId,
        /// What for.
        kind: PassKind,
        /// For how long, milliseconds.
        lifetime_ms: u64,
        /// What goes with it.
        detail: String,
    },
    /// Use one up. Answers `Detail`; refused with `Unknown` or `Used`.
    Use {
        /// What for.
        kind: PassKind,
        /// The pass.
        token: String,
    },
    /// Use up whichever of a kind there is. Answers `Detail`; refused with `Unknown`.
    UseAny(PassKind),
    /// End one, if it is there. Answers `Done`.
    End(String),
    /// End all of a kind. Answers `Done`.
    EndAll(PassKind),
}

/// What a command answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PassReply {
    /// The pass.
    Made(String),
    /// What went with it.
    Detail(String),
    /// It is done.
    Done,
}

/// What can be asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum PassQuery {
    /// A pass, until it ends; one that was used up is known a while longer. Answers `Seen`, or `Unknown`.
    Look {
        /// What for.
        kind: PassKind,
        /// The pass.
        token: String,
    },
    /// Whether there is one of a kind. Answers `Any`.
    Any(PassKind),
}

/// What a query answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PassAnswer {
    /// A pass.
    Seen(SeenPass),
    /// Yes or no.
    Any(bool),
}

/// A pass as it was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenPass {
    /// What went with it.
    pub detail: String,
    /// It is used up.
    pub used: bool,
    /// When it was made, milliseconds since the Unix epoch.
    pub at_ms: u64,
}

/// Why it is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum PassError {
    /// No such pass, or its time is over.
    #[error("unknown or ended token")]
    Unknown,
    /// It was used before.
    #[error("token was used before")]
    Used,
    /// What goes with it is too long.
    #[error("too long")]
    TooLong,
    /// It could not be asked.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

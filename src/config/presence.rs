//! `[presence]`: who is told that somebody is there.

use super::section::section;

section! {
    /// Everybody is told of the presence of those with whom they share a room.
    "presence" Presence {
        /// These users are told of the presence of everybody here. They may be users of other servers.
        observers: Vec<String> = Vec::new();
    }
}

//! Records of invites that a moderator took out of a user's sight, and put back.

use serde::{Deserialize, Serialize};

use crate::address::Sequence;

/// Invites are shown to the user no more. The rooms, and whoever invited, hear nothing of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvitesHidden {
    /// The run of a policy that wanted it.
    pub run: Sequence,
    /// Which.
    pub invites: Vec<HiddenInvite>,
}

/// An invite that is not shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HiddenInvite {
    /// The room.
    pub room_id: String,
    /// The user's member event that was in force, by its number among the room's records: a later invite is shown.
    pub until: Sequence,
}

//! Records of moderation policies: rules that were written down, and what was done by them.

use serde::{Deserialize, Serialize};

use crate::address::Sequence;

/// What is done with what a rule matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PolicyAction {
    /// Pending invites are taken away from the invited users.
    #[serde(rename = "i")]
    RejectInvites,
}

/// What a policy matches: all that is said must fit. Texts are globs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyRule {
    /// What is done.
    pub action: PolicyAction,
    /// The user ID of who invited.
    pub inviter: Option<String>,
    /// The server of who invited, without its port.
    pub inviter_server: Option<String>,
    /// The room.
    pub room_id: Option<String>,
    /// The room's name, as the invite tells it.
    pub room_name: Option<String>,
    /// The invited user.
    pub user_id: Option<String>,
    /// The invite came at least so long ago, milliseconds.
    pub age_min_ms: Option<u64>,
    /// The invite came at most so long ago, milliseconds.
    pub age_max_ms: Option<u64>,
}

/// A policy was written down, in place of one of the same name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicySaved {
    /// Its name.
    pub name: String,
    /// What it matches.
    pub rule: PolicyRule,
    /// Who wrote it.
    pub by: String,
    /// When, milliseconds since the Unix epoch.
    pub at_ms: u64,
}

/// A policy was struck out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyDeleted {
    /// Its name.
    pub name: String,
    /// Who wanted that.
    pub by: String,
    /// When, milliseconds since the Unix epoch.
    pub at_ms: u64,
}

/// A policy is about to be applied. The number of this record names the run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyRunBegun {
    /// The run that this one goes on with: one of which nobody knows whether it came to its end.
    pub continues: Option<Sequence>,
    /// The policy.
    pub policy: String,
    /// What it matched then.
    pub rule: PolicyRule,
    /// Whom it touches.
    pub users: Vec<String>,
    /// The other servers are told, which cannot be taken back.
    pub tells_servers: bool,
    /// Who applies it.
    pub by: String,
    /// When, milliseconds since the Unix epoch.
    pub at_ms: u64,
}

/// A policy was applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyRunEnded {
    /// The run.
    pub run: Sequence,
    /// So many invites were taken away.
    pub invites: u64,
    /// When, milliseconds since the Unix epoch.
    pub at_ms: u64,
}

/// What a run did was taken back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyRunUndone {
    /// The run.
    pub run: Sequence,
    /// Who wanted that.
    pub by: String,
    /// When, milliseconds since the Unix epoch.
    pub at_ms: u64,
}

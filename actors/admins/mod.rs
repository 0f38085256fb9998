//! Who administers this server besides the users that are administrators, and what all of them have changed.
//!
//! Owns which tokens of tools are good, the order in which changes were made, and moderation policies with their runs. Must not know what a change does: that
//! is said by who makes it.

pub mod audit;
pub mod policies;
pub mod tokens;

pub use audit::{AuditCommand, AuditLog};
pub use playhouse_schema::record::admin::{AdminRole, PolicyAction, PolicyRule};
pub use policies::{
    Policies, Policy, PolicyAnswer, PolicyCommand, PolicyQuery, PolicyReply, PolicyRun,
};
pub use tokens::{AdminToken, AdminTokens, TokenAnswer, TokenCommand, TokenQuery, TokenReply};

use serde::{Deserialize, Serialize};

use crate::kernel::Unavailable;

/// All roles: what a user has who is an administrator.
pub const ALL_ROLES: [AdminRole; 3] = [AdminRole::Read, AdminRole::Moderate, AdminRole::Operate];

/// Whether somebody with some roles may do what takes one. Whoever may change something may also look.
pub fn may(roles: &[AdminRole], needed: AdminRole) -> bool {
    match needed {
        AdminRole::Read => !roles.is_empty(),
        needed => roles.contains(&needed),
    }
}

/// Why it is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum AdminError {
    /// No such token, or it is good no more.
    #[error("unknown, revoked or ended token")]
    UnknownToken,
    /// There is nothing of this name or number.
    #[error("{0}")]
    Unknown(String),
    /// It makes no sense so.
    #[error("{0}")]
    Invalid(String),
    /// There are as many tokens as there may be.
    #[error("there are too many tokens: revoke some")]
    TooMany,
    /// It cannot be taken back; the reason.
    #[error("{0}")]
    Lasting(String),
    /// Somebody has changed it since.
    #[error("it has been changed since")]
    ChangedSince,
    /// A policy would do something else than its dry run has shown.
    #[error("what the policy matches has changed since the dry run: make another one")]
    Differs,
    /// It could not be asked.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn who_may_change_may_look() {
        assert!(!may(&[], AdminRole::Read));
        assert!(may(&[AdminRole::Moderate], AdminRole::Read));
        assert!(!may(&[AdminRole::Moderate], AdminRole::Operate));
        assert!(!may(&[AdminRole::Operate], AdminRole::Moderate));
        assert!(ALL_ROLES.into_iter().all(|role| may(&ALL_ROLES, role)));
    }
}

//! Moderation policies: rules that are written down, tried on what is there, applied, and taken back like any other change.

mod apply_policy;
mod delete_policy;
mod dry_run;
mod get_policy;
mod list_policies;
mod save_policy;

use playhouse_actors::admins::{AdminRole, Policy, PolicyAction, PolicyRule, PolicyRun};
use serde::{Deserialize, Serialize};

use crate::edge::Routes;

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes.mount(list_policies::handle);
    routes.mount(get_policy::handle);
    routes.mount(dry_run::handle);
    routes.mount(save_policy::handle).role(AdminRole::Moderate);
    routes
        .mount(delete_policy::handle)
        .role(AdminRole::Moderate);
    routes.mount(apply_policy::handle).role(AdminRole::Moderate);
}

/// What is done with what a rule matches.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Action {
    /// Pending invites are taken away from the invited users.
    #[default]
    RejectInvites,
}

/// What a policy matches: all that is said must fit. Texts are patterns in which `*` stands for any characters and `?` for one.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    #[serde(default)]
    action: Action,
    /// The user ID of who invites.
    #[serde(skip_serializing_if = "Option::is_none")]
    inviter: Option<String>,
    /// The server of who invites, without its port.
    #[serde(skip_serializing_if = "Option::is_none")]
    inviter_server: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    room_id: Option<String>,
    /// The room's name, as the invite tells it.
    #[serde(skip_serializing_if = "Option::is_none")]
    room_name: Option<String>,
    /// The invited user.
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<String>,
    /// The invite came at least so long ago.
    #[serde(skip_serializing_if = "Option::is_none")]
    age_min_ms: Option<u64>,
    /// The invite came at most so long ago.
    #[serde(skip_serializing_if = "Option::is_none")]
    age_max_ms: Option<u64>,
}

impl From<Rule> for PolicyRule {
    fn from(rule: Rule) -> Self {
        Self {
            action: match rule.action {
                Action::RejectInvites => PolicyAction::RejectInvites,
            },
            inviter: rule.inviter,
            inviter_server: rule.inviter_server,
            room_id: rule.room_id,
            room_name: rule.room_name,
            user_id: rule.user_id,
            age_min_ms: rule.age_min_ms,
            age_max_ms: rule.age_max_ms,
        }
    }
}

impl From<PolicyRule> for Rule {
    fn from(rule: PolicyRule) -> Self {
        Self {
            action: match rule.action {
                PolicyAction::RejectInvites => Action::RejectInvites,
            },
            inviter: rule.inviter,
            inviter_server: rule.inviter_server,
            room_id: rule.room_id,
            room_name: rule.room_name,
            user_id: rule.user_id,
            age_min_ms: rule.age_min_ms,
            age_max_ms: rule.age_max_ms,
        }
    }
}

/// A policy as administrators see it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Shown {
    name: String,
    rule: Rule,
    /// Who wrote it down.
    by: String,
    /// When, milliseconds since the Unix epoch.
    ts: u64,
}

impl From<Policy> for Shown {
    fn from(policy: Policy) -> Self {
        Self {
            name: policy.name,
            rule: policy.rule.into(),
            by: policy.by,
            ts: policy.at_ms,
        }
    }
}

/// A run of a policy as administrators see it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ShownRun {
    run: u64,
    policy: String,
    /// What the policy matched then.
    rule: Rule,
    /// Who applied it.
    by: String,
    /// When, milliseconds since the Unix epoch.
    ts: u64,
    tell_servers: bool,
    /// So many invites it took away; null when nobody knows whether it came to its end.
    invites: Option<u64>,
    /// From so many users; 0 when it was taken back.
    users: u64,
    /// Who took it back.
    undone_by: Option<String>,
}

impl From<PolicyRun> for ShownRun {
    fn from(run: PolicyRun) -> Self {
        Self {
            run: run.id,
            policy: run.policy,
            rule: run.rule.into(),
            by: run.by,
            ts: run.at_ms,
            tell_servers: run.tells_servers,
            invites: run.invites,
            users: run.user_count,
            undone_by: run.undone_by,
        }
    }
}

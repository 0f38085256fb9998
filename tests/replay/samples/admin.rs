//! Records of administrators.

use playhouse_schema::record::admin::{
    AdminRecord, AdminRole, AdminTokenMade, AdminTokenRevoked, ChangeBegun, ChangeEnded,
    ChangeTarget, PolicyAction, PolicyDeleted, PolicyRule, PolicyRunBegun, PolicyRunEnded,
    PolicyRunUndone, PolicySaved,
};

use super::{super::Sample, sample};

pub(crate) const VARIANTS: usize = 9;

pub(crate) fn name(record: &AdminRecord) -> &'static str {
    match record {
        AdminRecord::TokenMade(_) => "TokenMade",
        AdminRecord::TokenRevoked(_) => "TokenRevoked",
        AdminRecord::ChangeBegun(_) => "ChangeBegun",
        AdminRecord::ChangeEnded(_) => "ChangeEnded",
        AdminRecord::PolicySaved(_) => "PolicySaved",
        AdminRecord::PolicyDeleted(_) => "PolicyDeleted",
        AdminRecord::PolicyRunBegun(_) => "PolicyRunBegun",
        AdminRecord::PolicyRunEnded(_) => "PolicyRunEnded",
        AdminRecord::PolicyRunUndone(_) => "PolicyRunUndone",
    }
}

pub(crate) fn all() -> Vec<Sample<AdminRecord>> {
    let made = AdminTokenMade {
        id: "abc".into(),
        hash: vec![1; 32].into(),
        name: "backup".into(),
        roles: vec![AdminRole::Read, AdminRole::Moderate, AdminRole::Operate],
        by: "@boss:example.org".into(),
        at_ms: 1_700_000_000_000,
        until_ms: 1_700_000_000_001,
    };
    let revoked = AdminTokenRevoked {
        id: "abc".into(),
        by: "@boss:example.org".into(),
        at_ms: 1_700_000_000_002,
    };
    let target = ChangeTarget {
        kind: "user".into(),
        name: "@alice:example.org".into(),
    };
    let begun = ChangeBegun {
        by: "@boss:example.org".into(),
        at_ms: 1_700_000_000_003,
        action: "PUT /path/{user_id}".into(),
        target: Some(target.clone()),
        request: "{}".into(),
        before: Some("{\"admin\":false}".into()),
        undoes: Some(7),
    };
    let ended = ChangeEnded {
        begun: 8,
        at_ms: 1_700_000_000_004,
        status: 200,
        target: Some(target),
        after: Some("{\"admin\":true}".into()),
        undoes: Some(7),
    };
    let mut all = vec![
        sample("TokenMade", AdminRecord::TokenMade(made)),
        sample("TokenRevoked", AdminRecord::TokenRevoked(revoked)),
        sample("ChangeBegun", AdminRecord::ChangeBegun(begun)),
        sample("ChangeEnded", AdminRecord::ChangeEnded(ended)),
    ];
    all.extend(policies());
    all
}

fn policies() -> Vec<Sample<AdminRecord>> {
    let rule = PolicyRule {
        action: PolicyAction::RejectInvites,
        inviter: Some("@spam*".into()),
        inviter_server: Some("*.bad.example".into()),
        room_id: Some("!r*".into()),
        room_name: Some("*casino*".into()),
        user_id: Some("@a*".into()),
        age_min_ms: Some(1),
        age_max_ms: Some(600_000),
    };
    let (policy, by) = ("casino".to_owned(), "@boss:example.org".to_owned());
    let saved = PolicySaved {
        name: policy.clone(),
        rule: rule.clone(),
        by: by.clone(),
        at_ms: 1_700_000_000_005,
    };
    let deleted = PolicyDeleted {
        name: policy.clone(),
        by: by.clone(),
        at_ms: 1_700_000_000_006,
    };
    let begun = PolicyRunBegun {
        continues: Some(3),
        policy,
        rule,
        users: vec!["@alice:example.org".into()],
        tells_servers: false,
        by: by.clone(),
        at_ms: 1_700_000_000_007,
    };
    let ended = PolicyRunEnded {
        run: 7,
        invites: 2,
        at_ms: 1_700_000_000_008,
    };
    let undone = PolicyRunUndone {
        run: 7,
        by,
        at_ms: 1_700_000_000_009,
    };
    vec![
        sample("PolicySaved", AdminRecord::PolicySaved(saved)),
        sample("PolicyDeleted", AdminRecord::PolicyDeleted(deleted)),
        sample("PolicyRunBegun", AdminRecord::PolicyRunBegun(begun)),
        sample("PolicyRunEnded", AdminRecord::PolicyRunEnded(ended)),
        sample("PolicyRunUndone", AdminRecord::PolicyRunUndone(undone)),
    ]
}

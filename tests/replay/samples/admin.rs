//! Records of administrators.

use playhouse_schema::record::admin::{
    AdminRecord, AdminRole, AdminTokenMade, AdminTokenRevoked, ChangeBegun, ChangeEnded,
    ChangeTarget,
};

use super::{super::Sample, sample};

pub(crate) const VARIANTS: usize = 4;

pub(crate) fn name(record: &AdminRecord) -> &'static str {
    match record {
        AdminRecord::TokenMade(_) => "TokenMade",
        AdminRecord::TokenRevoked(_) => "TokenRevoked",
        AdminRecord::ChangeBegun(_) => "ChangeBegun",
        AdminRecord::ChangeEnded(_) => "ChangeEnded",
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
    vec![
        sample("TokenMade", AdminRecord::TokenMade(made)),
        sample("TokenRevoked", AdminRecord::TokenRevoked(revoked)),
        sample("ChangeBegun", AdminRecord::ChangeBegun(begun)),
        sample("ChangeEnded", AdminRecord::ChangeEnded(ended)),
    ]
}

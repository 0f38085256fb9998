//! Records of a third-party identifier.

use playhouse_schema::record::threepid::{Binding, Claim, ThreepidRecord, Validated, Validation};

use super::{super::Sample, sample};

pub(crate) const VARIANTS: usize = 7;

pub(crate) fn name(record: &ThreepidRecord) -> &'static str {
    match record {
        ThreepidRecord::ValidationBegun(_) => "ValidationBegun",
        ThreepidRecord::Validated(_) => "Validated",
        ThreepidRecord::ValidationUsed(_) => "ValidationUsed",
        ThreepidRecord::Claimed(_) => "Claimed",
        ThreepidRecord::Released => "Released",
        ThreepidRecord::Bound(_) => "Bound",
        ThreepidRecord::Unbound(_) => "Unbound",
    }
}

pub(crate) fn all() -> Vec<Sample<ThreepidRecord>> {
    let begun = Validation {
        session: "session".into(),
        purpose: "add".into(),
        medium: "email".into(),
        address: "alice@example.org".into(),
        secret: "digest of the secret".into(),
        token: "digest of the token".into(),
        attempt: 2,
        next_link: Some("https://example.org/next".into()),
        at_ms: 1_700_000_000_001,
        until_ms: 1_700_000_000_002,
    };
    let validated = Validated {
        session: "session".into(),
        at_ms: 1_700_000_000_003,
        until_ms: 1_700_000_000_004,
    };
    let claim = Claim {
        user_id: "@alice:example.org".into(),
        medium: "email".into(),
        address: "alice@example.org".into(),
        validated_ms: 1_700_000_000_005,
        added_ms: 1_700_000_000_006,
    };
    let binding = Binding {
        user_id: "@alice:example.org".into(),
        id_server: "id.example.org".into(),
        medium: "email".into(),
        address: "alice@example.org".into(),
    };
    vec![
        sample("ValidationBegun", ThreepidRecord::ValidationBegun(begun)),
        sample("Validated", ThreepidRecord::Validated(validated)),
        sample(
            "ValidationUsed",
            ThreepidRecord::ValidationUsed("session".into()),
        ),
        sample("Claimed", ThreepidRecord::Claimed(claim)),
        sample("Released", ThreepidRecord::Released),
        sample("Bound", ThreepidRecord::Bound(binding.clone())),
        sample("Unbound", ThreepidRecord::Unbound(binding)),
    ]
}

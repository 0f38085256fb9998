//! Records of identities at other systems.

use playhouse_schema::record::external::{ExternalRecord, Identity, Linked, SessionBegun};

use super::{super::Sample, sample};

pub(crate) const VARIANTS: usize = 5;

pub(crate) fn name(record: &ExternalRecord) -> &'static str {
    match record {
        ExternalRecord::Linked(_) => "Linked",
        ExternalRecord::Unlinked => "Unlinked",
        ExternalRecord::SessionBegun(_) => "SessionBegun",
        ExternalRecord::SessionsEnded => "SessionsEnded",
        ExternalRecord::IdentityNoted(_) => "IdentityNoted",
    }
}

pub(crate) fn all() -> Vec<Sample<ExternalRecord>> {
    let linked = Linked {
        provider: "google".into(),
        subject: "4711".into(),
        user_id: "@alice:example.org".into(),
        at_ms: 1_700_000_000_001,
    };
    let begun = SessionBegun {
        user_id: "@alice:example.org".into(),
        device_id: "PHONE".into(),
        sid: Some("s-1".into()),
    };
    let identity = Identity {
        provider: "google".into(),
        subject: "4711".into(),
    };
    vec![
        sample("Linked", ExternalRecord::Linked(linked)),
        sample("Unlinked", ExternalRecord::Unlinked),
        sample("SessionBegun", ExternalRecord::SessionBegun(begun)),
        sample("SessionsEnded", ExternalRecord::SessionsEnded),
        sample("IdentityNoted", ExternalRecord::IdentityNoted(identity)),
    ]
}

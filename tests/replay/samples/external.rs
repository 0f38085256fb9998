//! Records of identities at other systems.

use playhouse_schema::record::external::{ExternalRecord, Linked};

use super::{super::Sample, sample};

pub(crate) const VARIANTS: usize = 2;

pub(crate) fn name(record: &ExternalRecord) -> &'static str {
    match record {
        ExternalRecord::Linked(_) => "Linked",
        ExternalRecord::Unlinked => "Unlinked",
    }
}

pub(crate) fn all() -> Vec<Sample<ExternalRecord>> {
    let linked = Linked {
        provider: "google".into(),
        subject: "4711".into(),
        user_id: "@alice:example.org".into(),
        at_ms: 1_700_000_000_001,
    };
    vec![
        sample("Linked", ExternalRecord::Linked(linked)),
        sample("Unlinked", ExternalRecord::Unlinked),
    ]
}

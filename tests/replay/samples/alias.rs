//! Records of an alias.

use playhouse_schema::record::alias::{AliasRecord, Pointed};

use super::{super::Sample, sample};

pub(crate) const VARIANTS: usize = 2;

pub(crate) fn name(record: &AliasRecord) -> &'static str {
    match record {
        AliasRecord::Pointed(_) => "Pointed",
        AliasRecord::Deleted => "Deleted",
    }
}

pub(crate) fn all() -> Vec<Sample<AliasRecord>> {
    let pointed = Pointed {
        room_id: "!room:example.org".into(),
        creator: "@alice:example.org".into(),
        at_ms: 1_700_000_000_001,
    };
    vec![
        sample("Pointed", AliasRecord::Pointed(pointed)),
        sample("Deleted", AliasRecord::Deleted),
    ]
}

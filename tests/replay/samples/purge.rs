//! Records of history that was taken out of rooms.

use playhouse_schema::record::purge::{Purge, PurgeEnded, PurgeRecord};

use super::{super::Sample, sample};

pub(crate) const VARIANTS: usize = 2;

pub(crate) fn name(record: &PurgeRecord) -> &'static str {
    match record {
        PurgeRecord::Begun(_) => "Begun",
        PurgeRecord::Ended(_) => "Ended",
    }
}

pub(crate) fn all() -> Vec<Sample<PurgeRecord>> {
    let begun = Purge {
        id: "abc".into(),
        room_id: "!room:example.org".into(),
        up_to: 70_000,
        before_ms: 1_700_000_000_001,
        local_too: true,
        by: "@boss:example.org".into(),
        at_ms: 1_700_000_000_002,
    };
    let ended = PurgeEnded {
        id: "abc".into(),
        error: Some("no such room".into()),
        at_ms: 1_700_000_000_003,
    };
    vec![
        sample("Begun", PurgeRecord::Begun(begun)),
        sample("Ended", PurgeRecord::Ended(ended)),
    ]
}

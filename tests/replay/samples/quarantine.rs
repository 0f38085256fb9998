//! Records of what was put away and given out again.

use playhouse_schema::record::quarantine::{QuarantineChange, QuarantineRecord};

use super::{super::Sample, sample};

pub(crate) const VARIANTS: usize = 1;

pub(crate) fn name(record: &QuarantineRecord) -> &'static str {
    match record {
        QuarantineRecord::Changed(_) => "Changed",
    }
}

pub(crate) fn all() -> Vec<Sample<QuarantineRecord>> {
    let change = QuarantineChange {
        server_name: "elsewhere.example".into(),
        media_id: "abc".into(),
        quarantined: true,
    };
    vec![sample("Changed", QuarantineRecord::Changed(change))]
}

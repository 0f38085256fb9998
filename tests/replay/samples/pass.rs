//! Records of passes.

use playhouse_schema::record::pass::{PassKind, PassMade, PassRecord, PassUsed};

use super::{super::Sample, sample};

pub(crate) const VARIANTS: usize = 3;

pub(crate) fn name(record: &PassRecord) -> &'static str {
    match record {
        PassRecord::Made(_) => "Made",
        PassRecord::Used(_) => "Used",
        PassRecord::Ended(_) => "Ended",
    }
}

pub(crate) fn all() -> Vec<Sample<PassRecord>> {
    let made = |kind, byte| {
        PassRecord::Made(PassMade {
            kind,
            hash: vec![byte; 32].into(),
            at_ms: 1_700_000_000_000,
            until_ms: 1_700_000_000_001,
            detail: "detail".into(),
        })
    };
    let used = PassUsed {
        hash: vec![1; 32].into(),
        at_ms: 1_700_000_000_000,
    };
    vec![
        sample("Made", made(PassKind::Login, 1)),
        sample("Used", PassRecord::Used(used)),
        sample(
            "Ended",
            PassRecord::Ended(vec![vec![1; 32].into(), vec![2; 32].into()]),
        ),
        sample("Made/code", made(PassKind::Code, 2)),
        sample("Made/browser", made(PassKind::Browser, 3)),
        sample("Made/reset", made(PassKind::CrossSigningReset, 4)),
    ]
}

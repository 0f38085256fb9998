//! Records of a piece of media.

use playhouse_schema::record::media::{Judged, MediaRecord, Reserved, Uploaded};

use super::{super::Sample, sample};

pub(crate) const VARIANTS: usize = 8;

pub(crate) fn name(record: &MediaRecord) -> &'static str {
    match record {
        MediaRecord::Reserved(_) => "Reserved",
        MediaRecord::Uploaded(_) => "Uploaded",
        MediaRecord::Quarantined(_) => "Quarantined",
        MediaRecord::Released(_) => "Released",
        MediaRecord::Protected(_) => "Protected",
        MediaRecord::Unprotected(_) => "Unprotected",
        MediaRecord::Removed(_) => "Removed",
        MediaRecord::Used(_) => "Used",
    }
}

pub(crate) fn all() -> Vec<Sample<MediaRecord>> {
    let reserved = Reserved {
        user_id: "@alice:example.org".into(),
        expires_ms: 1_700_000_000_001,
    };
    let uploaded = Uploaded {
        user_id: "@alice:example.org".into(),
        sha256: "00ff".repeat(16),
        size_bytes: 70_000,
        content_type: Some("image/png".into()),
        file_name: Some("cat.png".into()),
        at_ms: 1_700_000_000_002,
    };
    let judged = || Judged {
        by: "@boss:example.org".into(),
        at_ms: 1_700_000_000_003,
    };
    vec![
        sample("Reserved", MediaRecord::Reserved(reserved)),
        sample("Uploaded", MediaRecord::Uploaded(uploaded)),
        sample("Quarantined", MediaRecord::Quarantined(judged())),
        sample("Released", MediaRecord::Released(judged())),
        sample("Protected", MediaRecord::Protected(judged())),
        sample("Unprotected", MediaRecord::Unprotected(judged())),
        sample("Removed", MediaRecord::Removed(judged())),
        sample("Used", MediaRecord::Used(1_700_000_000_004)),
    ]
}

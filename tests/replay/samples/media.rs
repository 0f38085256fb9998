//! Records of a piece of media.

use playhouse_schema::record::media::{MediaRecord, Reserved, Uploaded};

use super::{super::Sample, sample};

pub(crate) const VARIANTS: usize = 2;

pub(crate) fn name(record: &MediaRecord) -> &'static str {
    match record {
        MediaRecord::Reserved(_) => "Reserved",
        MediaRecord::Uploaded(_) => "Uploaded",
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
    vec![
        sample("Reserved", MediaRecord::Reserved(reserved)),
        sample("Uploaded", MediaRecord::Uploaded(uploaded)),
    ]
}

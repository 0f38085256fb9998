//! What a piece of media owns, and how it changes.

use playhouse_schema::record::media::{MediaRecord, Reserved, Uploaded};

/// A piece of media: a fold of its records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Media {
    /// Who may upload, when the ID was handed out first.
    pub(super) reserved: Option<Reserved>,
    /// The content.
    pub(super) uploaded: Option<Uploaded>,
}

impl Media {
    /// Takes in one record.
    pub(super) fn take_in(&mut self, record: &MediaRecord) {
        match record {
            MediaRecord::Reserved(reserved) => self.reserved = Some(reserved.clone()),
            MediaRecord::Uploaded(uploaded) => self.uploaded = Some(uploaded.clone()),
        }
    }
}

//! What a piece of media owns, and how it changes.

use bytes::Bytes;
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

    pub(super) fn encode(&self) -> Bytes {
        rmp_serde::to_vec(&(&self.reserved, &self.uploaded))
            .expect("strings and numbers are always representable in MessagePack")
            .into()
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (reserved, uploaded) = rmp_serde::from_slice(bytes).ok()?;
        Some(Self { reserved, uploaded })
    }
}

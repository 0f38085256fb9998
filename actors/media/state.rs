//! What a piece of media owns, and how it changes.

use playhouse_schema::{
    address::Entity,
    record::media::{MediaRecord, Reserved, Uploaded},
};

/// A piece of media: a fold of its records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Media {
    /// It is a copy of another server's: it can be fetched again.
    pub(super) is_copy: bool,
    /// Who may upload, when the ID was handed out first.
    pub(super) reserved: Option<Reserved>,
    /// The content.
    pub(super) uploaded: Option<Uploaded>,
    /// When it was last used, as far as was noted.
    pub(super) used_ms: u64,
    /// Who put it away.
    pub(super) quarantined_by: Option<String>,
    /// It cannot be put away.
    pub(super) protected: bool,
    /// Its content was deleted.
    pub(super) removed: bool,
}

impl Media {
    /// Nothing is known yet. Copies have the name of their server in theirs.
    pub(super) fn of(entity: &Entity) -> Self {
        Self {
            is_copy: entity.name().contains('/'),
            ..Self::default()
        }
    }

    /// Takes in one record.
    pub(super) fn take_in(&mut self, record: &MediaRecord) {
        match record {
            MediaRecord::Reserved(reserved) => self.reserved = Some(reserved.clone()),
            MediaRecord::Uploaded(uploaded) => {
                self.used_ms = uploaded.at_ms;
                self.removed = false;
                self.uploaded = Some(uploaded.clone());
            }
            MediaRecord::Quarantined(judged) => self.quarantined_by = Some(judged.by.clone()),
            MediaRecord::Released(_) => self.quarantined_by = None,
            MediaRecord::Protected(_) => self.protected = true,
            MediaRecord::Unprotected(_) => self.protected = false,
            MediaRecord::Removed(_) => {
                self.removed = true;
                self.uploaded = None;
            }
            MediaRecord::Used(at_ms) => self.used_ms = *at_ms,
        }
    }

    /// Whether anybody was ever told of it.
    pub(super) fn is_known(&self) -> bool {
        self.reserved.is_some() || self.uploaded.is_some() || self.removed
    }
}

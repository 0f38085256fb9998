//! What an alias owns, and how it changes.

use playhouse_schema::record::alias::{AliasRecord, Pointed};
use ruma::{RoomId, UserId};

use super::message::AliasTarget;

/// An alias: a fold of its records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Alias {
    pointed: Option<Pointed>,
}

impl Alias {
    /// Where it points.
    pub(super) fn target(&self) -> Option<AliasTarget> {
        let pointed = self.pointed.as_ref()?;
        Some(AliasTarget {
            room_id: RoomId::parse(&pointed.room_id).ok()?,
            creator: UserId::parse(&pointed.creator).ok()?,
            at_ms: pointed.at_ms,
        })
    }

    /// Takes in one record.
    pub(super) fn take_in(&mut self, record: &AliasRecord) {
        self.pointed = match record {
            AliasRecord::Pointed(pointed) => Some(pointed.clone()),
            AliasRecord::Deleted => None,
        };
    }
}

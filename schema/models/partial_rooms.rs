//! The rooms of whose members some are still to be fetched.

use super::{Model, of_gone, rows, text};
use crate::{
    address::Family,
    port::{ModelStore, Statement, StoreError, StoredRecord},
    record::room::kind,
};

const TABLES: [&str; 1] = ["CREATE TABLE IF NOT EXISTS partial_rooms_1 (
        room_id {{text}} NOT NULL PRIMARY KEY
    )"];

pub(super) const ADD: &str =
    "INSERT INTO partial_rooms_1 (room_id) VALUES ($1) ON CONFLICT DO NOTHING";

pub(super) const REMOVE: &str = "DELETE FROM partial_rooms_1 WHERE room_id = $1";

pub(super) const ALL: &str = "SELECT room_id FROM partial_rooms_1 ORDER BY room_id";

pub(super) const OF_USER: &str = "SELECT p.room_id FROM memberships_1 m JOIN partial_rooms_1 p ON p.room_id = m.room_id \
     WHERE m.user_id = $1 AND m.membership = 'join' ORDER BY p.room_id";

/// The model.
pub struct PartialRooms;

impl Model for PartialRooms {
    const NAME: &'static str = "partial_rooms";
    const TABLE: &'static str = "partial_rooms_1";
    const VERSION: u32 = 1;

    fn families(&self) -> &[Family] {
        &[Family::Rooms]
    }

    fn tables(&self) -> &[&'static str] {
        &TABLES
    }

    fn fold(&self, record: &StoredRecord) -> Result<Vec<Statement>, StoreError> {
        Ok(match record.kind {
            kind::STATE_PARTIAL => vec![Statement {
                sql: ADD,
                values: vec![text(record.entity.name())],
            }],
            kind::STATE_COMPLETED | kind::EMPTIED => vec![of_gone(REMOVE, record)],
            _ => Vec::new(),
        })
    }
}

/// Their IDs.
pub async fn all(store: &dyn ModelStore) -> Result<Vec<String>, StoreError> {
    rows(store, (ALL, Vec::new()), |columns| columns.text()).await
}

/// The IDs of those to which a user is joined.
pub async fn of_user(store: &dyn ModelStore, user_id: &str) -> Result<Vec<String>, StoreError> {
    rows(store, (OF_USER, vec![text(user_id)]), |columns| {
        columns.text()
    })
    .await
}

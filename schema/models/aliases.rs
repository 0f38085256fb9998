//! The aliases of each room.

use super::{Columns, Model, rows, text};
use crate::{
    address::Family,
    port::{ModelStore, Statement, StoreError, StoredRecord},
    record::{alias::AliasRecord, codec::Record as _},
};

const TABLES: [&str; 2] = [
    "CREATE TABLE IF NOT EXISTS aliases_1 (alias {{text}} PRIMARY KEY, room_id {{text}} NOT NULL, creator {{text}} NOT NULL)",
    "CREATE INDEX IF NOT EXISTS aliases_1_room ON aliases_1 (room_id, alias)",
];

pub(super) const POINT: &str = "INSERT INTO aliases_1 (alias, room_id, creator) VALUES ($1, $2, $3) \
     ON CONFLICT (alias) DO UPDATE SET room_id = excluded.room_id, creator = excluded.creator";

pub(super) const DELETE: &str = "DELETE FROM aliases_1 WHERE alias = $1";

pub(super) const OF_ROOM: &str =
    "SELECT alias, room_id, creator FROM aliases_1 WHERE room_id = $1 ORDER BY alias";

/// The model.
pub struct Aliases;

/// An alias of this server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alias {
    /// The alias with its leading `#`.
    pub alias: String,
    /// The room it points to.
    pub room_id: String,
    /// Who made it.
    pub creator: String,
}

impl Model for Aliases {
    const NAME: &'static str = "aliases";
    const TABLE: &'static str = "aliases_1";
    const VERSION: u32 = 1;

    fn families(&self) -> &[Family] {
        &[Family::Rooms]
    }

    fn tables(&self) -> &[&'static str] {
        &TABLES
    }

    fn fold(&self, record: &StoredRecord) -> Result<Vec<Statement>, StoreError> {
        if record.entity.prefix() != "alias" {
            return Ok(Vec::new());
        }
        let alias = text(record.entity.name());
        let (sql, values) = match AliasRecord::decode(record)? {
            Some(AliasRecord::Pointed(to)) => {
                (POINT, vec![alias, text(to.room_id), text(to.creator)])
            }
            Some(AliasRecord::Deleted) => (DELETE, vec![alias]),
            None => return Ok(Vec::new()),
        };
        Ok(vec![Statement { sql, values }])
    }
}

fn read(columns: &mut Columns) -> Result<Alias, StoreError> {
    Ok(Alias {
        alias: columns.text()?,
        room_id: columns.text()?,
        creator: columns.text()?,
    })
}

/// The aliases of a room, in order.
pub async fn of_room(store: &dyn ModelStore, room_id: &str) -> Result<Vec<Alias>, StoreError> {
    rows(store, (OF_ROOM, vec![text(room_id)]), read).await
}

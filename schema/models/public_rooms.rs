//! Which rooms are in the public room list.

use super::{Columns, Model, first, number, rows, text, truth};
use crate::{
    address::Family,
    port::{ModelStore, Statement, StoreError, StoredRecord},
    record::{
        codec::Record as _,
        room::{RoomRecord, kind},
    },
};

const TABLES: [&str; 1] = [
    "CREATE TABLE IF NOT EXISTS public_rooms_1 (room_id {{text}} PRIMARY KEY, public BIGINT NOT NULL)",
];

pub(super) const SET: &str = "INSERT INTO public_rooms_1 (room_id, public) VALUES ($1, $2) \
     ON CONFLICT (room_id) DO UPDATE SET public = excluded.public";

pub(super) const LIST: &str = "SELECT room_id FROM public_rooms_1 WHERE public = 1 AND room_id > $1 ORDER BY room_id LIMIT $2";

pub(super) const GET: &str = "SELECT public FROM public_rooms_1 WHERE room_id = $1";

/// The model.
pub struct PublicRooms;

impl Model for PublicRooms {
    const NAME: &'static str = "public_rooms";
    const TABLE: &'static str = "public_rooms_1";
    const VERSION: u32 = 1;

    fn families(&self) -> &[Family] {
        &[Family::Rooms]
    }

    fn tables(&self) -> &[&'static str] {
        &TABLES
    }

    fn fold(&self, record: &StoredRecord) -> Result<Vec<Statement>, StoreError> {
        if record.kind != kind::DIRECTORY_VISIBILITY_SET {
            return Ok(Vec::new());
        }
        let Some(RoomRecord::DirectoryVisibilitySet(set)) = RoomRecord::decode(record)? else {
            return Ok(Vec::new());
        };
        Ok(vec![Statement {
            sql: SET,
            values: vec![text(record.entity.name()), truth(set.public)],
        }])
    }
}

/// Listed rooms by room ID: at most `limit` after `after` (empty for the first).
pub async fn list(
    store: &dyn ModelStore,
    after: &str,
    limit: usize,
) -> Result<Vec<String>, StoreError> {
    let values = vec![text(after), number(limit as u64)];
    rows(store, (LIST, values), Columns::text).await
}

/// Whether a room is listed.
pub async fn is_public(store: &dyn ModelStore, room_id: &str) -> Result<bool, StoreError> {
    let public = first(store, (GET, vec![text(room_id)]), Columns::truth).await?;
    Ok(public.unwrap_or(false))
}

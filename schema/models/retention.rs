//! Which rooms there are, and how long their events may be kept as they say themselves (MSC1763). A hint: the room has the last word.

use std::borrow::Cow;

use serde::Deserialize;

use super::{Columns, Model, of_gone, rows, text};
use crate::{
    address::Family,
    port::{ModelStore, Statement, StoreError, StoredRecord, Value},
    record::{
        codec::Record as _,
        room::{Placement, RoomRecord, Verdict, kind, may_hold},
    },
};

const TABLES: [&str; 1] = ["CREATE TABLE IF NOT EXISTS retention_1 (
        room_id {{text}} NOT NULL,
        says BIGINT NOT NULL,
        PRIMARY KEY (room_id)
    )"];

pub(super) const MADE: &str = "INSERT INTO retention_1 (room_id, says) VALUES ($1, 0) \
     ON CONFLICT (room_id) DO NOTHING";

pub(super) const SAYS: &str = "INSERT INTO retention_1 (room_id, says) VALUES ($1, 1) \
     ON CONFLICT (room_id) DO UPDATE SET says = excluded.says";

pub(super) const EMPTY: &str = "DELETE FROM retention_1 WHERE room_id = $1";

pub(super) const LIST: &str =
    "SELECT room_id FROM retention_1 WHERE room_id > $1 AND says >= $2 ORDER BY room_id LIMIT $3";

const CREATE: &str = "m.room.create";
const RETENTION: &str = "m.room.retention";

/// The model.
pub struct Retention;

#[derive(Deserialize)]
struct Pdu<'a> {
    #[serde(rename = "type", borrow)]
    event_type: Cow<'a, str>,
    #[serde(borrow)]
    state_key: Option<Cow<'a, str>>,
}

impl Model for Retention {
    const NAME: &'static str = "retention";
    const TABLE: &'static str = "retention_1";
    const VERSION: u32 = 1;

    fn families(&self) -> &[Family] {
        &[Family::Rooms]
    }

    fn tables(&self) -> &[&'static str] {
        &TABLES
    }

    fn fold(&self, record: &StoredRecord) -> Result<Vec<Statement>, StoreError> {
        if record.kind == kind::EMPTIED {
            return Ok(vec![of_gone(EMPTY, record)]);
        }
        let is_of_interest = record.kind == kind::EVENT
            && (may_hold(&record.payload, CREATE) || may_hold(&record.payload, RETENTION));
        if !is_of_interest {
            return Ok(Vec::new());
        }
        let Some(RoomRecord::Event(event)) = RoomRecord::decode(record)? else {
            return Ok(Vec::new());
        };
        if event.verdict != Verdict::Accepted || event.placement == Placement::Backfilled {
            return Ok(Vec::new());
        }
        let change = change(record.entity.name(), &event.pdu);
        Ok(change.into_iter().collect())
    }
}

fn change(room_id: &str, pdu: &[u8]) -> Option<Statement> {
    let pdu: Pdu<'_> = serde_json::from_slice(pdu).ok()?;
    if pdu.state_key.as_deref() != Some("") {
        return None;
    }
    let sql = match &*pdu.event_type {
        CREATE => MADE,
        RETENTION => SAYS,
        _ => return None,
    };
    Some(Statement {
        sql,
        values: vec![text(room_id)],
    })
}

/// Rooms after one, in the order of their IDs: all, or those that say how long their events may be kept.
pub async fn rooms_after(
    store: &dyn ModelStore,
    after: &str,
    all: bool,
    limit: usize,
) -> Result<Vec<String>, StoreError> {
    let values = vec![
        text(after),
        Value::Integer(i64::from(!all)),
        Value::Integer(i64::try_from(limit).unwrap_or(i64::MAX)),
    ];
    rows(store, (LIST, values), Columns::text).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_are_noted_and_what_they_say() {
        for (pdu, wanted) in [
            (
                r#"{"type":"m.room.create","state_key":"","content":{}}"#,
                Some(MADE),
            ),
            (
                r#"{"type":"m.room.retention","state_key":"","content":{}}"#,
                Some(SAYS),
            ),
            (
                r#"{"type":"m.room.retention","state_key":"x","content":{}}"#,
                None,
            ),
            (r#"{"type":"m.room.retention","content":{}}"#, None),
            ("{", None),
        ] {
            let told = change("!r", pdu.as_bytes()).map(|statement| statement.sql);
            assert_eq!(told, wanted, "{pdu}");
        }
    }
}

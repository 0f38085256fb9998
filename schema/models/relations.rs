//! Which events relate to which: the children of an event, by the kind of relation, and the threads of a room.
//!
//! Folded from accepted events at the end of the timeline. What was redacted relates to nothing any more: its row goes with its content.

use std::{borrow::Cow, collections::BTreeSet};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Model, number, padded, rows, text};
use crate::{
    address::{Family, Sequence},
    port::{ModelStore, Statement, StoreError, StoredRecord},
    record::{
        ERASURE,
        codec::{ErasureNote, Record as _},
        room::{Placement, RoomRecord, Verdict, kind, may_hold},
    },
};

const TABLES: [&str; 2] = [
    "CREATE TABLE IF NOT EXISTS relations_1 (
        room_id {{text}} NOT NULL,
        sequence BIGINT NOT NULL,
        event_id {{text}} NOT NULL,
        parent {{text}} NOT NULL,
        rel_type {{text}} NOT NULL,
        event_type {{text}} NOT NULL,
        sender {{text}} NOT NULL,
        PRIMARY KEY (room_id, sequence)
    )",
    "CREATE INDEX IF NOT EXISTS relations_1_parent ON relations_1 (room_id, parent, rel_type, sequence)",
];

pub(super) const ADD: &str = "INSERT INTO relations_1 (room_id, sequence, event_id, parent, rel_type, event_type, sender) \
     VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (room_id, sequence) DO NOTHING";

pub(super) const REMOVE: &str = "DELETE FROM relations_1 WHERE room_id = $1 AND sequence = $2";

pub(super) const PARENTS: &str = "SELECT parent FROM relations_1 WHERE room_id = $1 AND sequence <= $2 ORDER BY sequence DESC LIMIT $3";

pub(super) const GROUPS: &str = "SELECT parent, rel_type, event_type, sender, COUNT(*), MAX(sequence) FROM relations_1 \
     WHERE room_id = $1 AND sequence <= $2 AND sequence NOT IN ($3, $4, $5, $6, $7, $8, $9, $10) \
     AND parent IN ($11, $12, $13, $14, $15, $16, $17, $18) \
     GROUP BY parent, rel_type, event_type, sender ORDER BY parent, rel_type, event_type, sender LIMIT 10000";

pub(super) const BACKWARDS: &str = "SELECT sequence, event_id, parent, rel_type, event_type, sender FROM relations_1 \
     WHERE room_id = $1 AND parent IN ($2, $3, $4, $5, $6, $7, $8, $9) AND sequence >= $10 AND sequence <= $11 \
     AND ($12 = '' OR rel_type = $12) AND ($13 = '' OR event_type = $13) ORDER BY sequence DESC LIMIT $14";

pub(super) const FORWARDS: &str = "SELECT sequence, event_id, parent, rel_type, event_type, sender FROM relations_1 \
     WHERE room_id = $1 AND parent IN ($2, $3, $4, $5, $6, $7, $8, $9) AND sequence >= $10 AND sequence <= $11 \
     AND ($12 = '' OR rel_type = $12) AND ($13 = '' OR event_type = $13) ORDER BY sequence LIMIT $14";

pub(super) const THREADS: &str = "SELECT parent, MAX(sequence) FROM relations_1 \
     WHERE room_id = $1 AND rel_type = 'm.thread' AND sequence <= $2 GROUP BY parent HAVING MAX(sequence) <= $3 \
     ORDER BY MAX(sequence) DESC LIMIT $4";

/// So many parents one question may name.
pub const PARENTS_MAX: usize = 8;

/// A room with fewer children than this tells all its parents at once.
const CHILDREN_FEW: usize = 1_000;

/// So many redacted children one question may name.
pub const REDACTED_MAX: usize = 8;

/// The model.
pub struct Relations;

/// An event that relates to another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Child {
    /// Its number among the room's records.
    pub sequence: Sequence,
    /// Its ID.
    pub event_id: String,
    /// To which event it relates.
    pub parent: String,
    /// How.
    pub rel_type: String,
    /// Its type.
    pub event_type: String,
    /// Who sent it.
    pub sender: String,
}

/// Children of one parent that are alike in all that is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// To which event they relate.
    pub parent: String,
    /// How.
    pub rel_type: String,
    /// Their type.
    pub event_type: String,
    /// Who sent them.
    pub sender: String,
    /// How many they are.
    pub count: u64,
    /// The newest of them.
    pub last: Sequence,
}

/// Which children are wanted.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Only this kind of relation; empty for any.
    pub rel_type: &'a str,
    /// Only this type of event; empty for any.
    pub event_type: &'a str,
    /// From and up to these of the room's records, both included.
    pub between: (Sequence, Sequence),
    /// Newest first instead of oldest first.
    pub backwards: bool,
    /// At most so many.
    pub limit: usize,
}

#[derive(Deserialize)]
struct Pdu<'a> {
    #[serde(rename = "type", borrow)]
    event_type: Cow<'a, str>,
    #[serde(borrow)]
    sender: Cow<'a, str>,
    #[serde(borrow)]
    content: &'a RawValue,
}

#[derive(Deserialize)]
struct Content<'a> {
    #[serde(rename = "m.relates_to", borrow)]
    relates_to: RelatesTo<'a>,
}

#[derive(Deserialize)]
struct RelatesTo<'a> {
    #[serde(borrow)]
    rel_type: Cow<'a, str>,
    #[serde(borrow)]
    event_id: Cow<'a, str>,
}

/// How, and to which event, an event with this content relates: the kind of relation and the parent's ID.
pub fn relation_of(content: &str) -> Option<(String, String)> {
    if !content.contains("\"m.relates_to\"") {
        return None;
    }
    let content: Content<'_> = serde_json::from_str(content).ok()?;
    let relation = content.relates_to;
    Some((
        relation.rel_type.into_owned(),
        relation.event_id.into_owned(),
    ))
}

impl Model for Relations {
    const NAME: &'static str = "relations";
    const TABLE: &'static str = "relations_1";
    const VERSION: u32 = 1;

    fn families(&self) -> &[Family] {
        &[Family::Rooms]
    }

    fn tables(&self) -> &[&'static str] {
        &TABLES
    }

    fn fold(&self, record: &StoredRecord) -> Result<Vec<Statement>, StoreError> {
        let room_id = text(record.entity.name());
        if record.kind == ERASURE {
            let note: ErasureNote = rmp_serde::from_slice(&record.payload)
                .map_err(|error| StoreError::Damaged(format!("erasure: {error}")))?;
            let removal = |sequence| Statement {
                sql: REMOVE,
                values: vec![room_id.clone(), number(sequence)],
            };
            return Ok(note.sequences().map(removal).collect());
        }
        if record.kind != kind::EVENT || !may_hold(&record.payload, "m.relates_to") {
            return Ok(Vec::new());
        }
        let Some(RoomRecord::Event(event)) = RoomRecord::decode(record)? else {
            return Ok(Vec::new());
        };
        if event.placement != Placement::Live || event.verdict != Verdict::Accepted {
            return Ok(Vec::new());
        }
        let Ok(pdu) = serde_json::from_slice::<Pdu<'_>>(&event.pdu) else {
            return Ok(Vec::new());
        };
        let Some((rel_type, parent)) = relation_of(pdu.content.get()) else {
            return Ok(Vec::new());
        };
        Ok(vec![Statement {
            sql: ADD,
            values: vec![
                room_id,
                number(record.sequence),
                text(event.event_id),
                text(parent),
                text(rel_type),
                text(pdu.event_type),
                text(pdu.sender),
            ],
        }])
    }
}

/// All parents of a room's children up to a record, when those are few; `None` when they are too many to tell.
pub async fn all_parents(
    store: &dyn ModelStore,
    room_id: &str,
    until: Sequence,
) -> Result<Option<BTreeSet<String>>, StoreError> {
    let values = vec![text(room_id), number(until), number(CHILDREN_FEW as u64)];
    let parents = rows(store, (PARENTS, values), |columns| columns.text()).await?;
    Ok((parents.len() < CHILDREN_FEW).then(|| parents.into_iter().collect()))
}

/// The children of some parents (at most [`PARENTS_MAX`]) up to a record, but for those that were redacted since ([`REDACTED_MAX`] of them at most).
pub async fn groups(
    store: &dyn ModelStore,
    room_id: &str,
    parents: &[&str],
    (until, redacted): (Sequence, &[Sequence]),
) -> Result<Vec<Group>, StoreError> {
    let mut values = vec![text(room_id), number(until)];
    // No record has the number 0.
    let without = redacted.iter().copied().chain(std::iter::repeat(0));
    values.extend(without.take(REDACTED_MAX).map(number));
    values.extend(padded(parents, PARENTS_MAX));
    rows(store, (GROUPS, values), |columns| {
        Ok(Group {
            parent: columns.text()?,
            rel_type: columns.text()?,
            event_type: columns.text()?,
            sender: columns.text()?,
            count: columns.number()?,
            last: columns.number()?,
        })
    })
    .await
}

/// Children of some parents (at most [`PARENTS_MAX`]).
pub async fn children(
    store: &dyn ModelStore,
    room_id: &str,
    parents: &[&str],
    wanted: Wanted<'_>,
) -> Result<Vec<Child>, StoreError> {
    let mut values = vec![text(room_id)];
    values.extend(padded(parents, PARENTS_MAX));
    values.extend([
        number(wanted.between.0),
        number(wanted.between.1),
        text(wanted.rel_type),
        text(wanted.event_type),
        number(wanted.limit as u64),
    ]);
    let sql = if wanted.backwards {
        BACKWARDS
    } else {
        FORWARDS
    };
    rows(store, (sql, values), |columns| {
        Ok(Child {
            sequence: columns.number()?,
            event_id: columns.text()?,
            parent: columns.text()?,
            rel_type: columns.text()?,
            event_type: columns.text()?,
            sender: columns.text()?,
        })
    })
    .await
}

/// The threads of a room as of a record: their roots, and the newest record of each, not newer than `newest`; newest first.
pub async fn threads(
    store: &dyn ModelStore,
    room_id: &str,
    (until, newest): (Sequence, Sequence),
    limit: usize,
) -> Result<Vec<(String, Sequence)>, StoreError> {
    let values = vec![
        text(room_id),
        number(until),
        number(newest),
        number(limit as u64),
    ];
    rows(store, (THREADS, values), |columns| {
        Ok((columns.text()?, columns.number()?))
    })
    .await
}

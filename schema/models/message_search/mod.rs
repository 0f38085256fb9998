//! In which events certain words stand: messages, and names and topics of rooms.
//!
//! Two tables: what is known of an event, and the digests of its words ([`words`]). No text is kept, so nothing of a redacted event is left when its row is
//! gone. The words are indexed by what each engine has for it; both are asked alike, as a table that takes words and gives the rows that have them all.
//! Whoever asks gets rooms that they are in or were in; what they may see there is for the room to say. Nothing of erased users is found, until their account
//! is opened again.

mod words;

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

pub use self::words::highlights;
use self::words::{wanted, words_of};
use super::{Columns, Model, number, rows, text};
use crate::{
    address::{Family, Place, Sequence},
    port::{ModelStore, Statement, StoreError, StoredRecord, Value},
    record::{
        ERASURE,
        codec::{ErasureNote, Record as _},
        room::{Placement, RoomRecord, Verdict, kind, may_hold},
        user::{DEACTIVATED, REOPENED, UserRecord},
    },
};

const TABLES: [&str; 7] = [
    "CREATE TABLE IF NOT EXISTS message_search_1 (
        id {{serial}} PRIMARY KEY,
        room_id {{text}} NOT NULL,
        sequence BIGINT NOT NULL,
        position BIGINT NOT NULL,
        field {{text}} NOT NULL,
        sender {{text}} NOT NULL,
        words BIGINT NOT NULL,
        at_ms BIGINT NOT NULL
    )",
    "CREATE UNIQUE INDEX IF NOT EXISTS message_search_1_event ON message_search_1 (room_id, sequence)",
    "CREATE TABLE IF NOT EXISTS message_search_1_erased (user_id {{text}} PRIMARY KEY)",
    "{{sqlite}} CREATE VIRTUAL TABLE IF NOT EXISTS message_search_1_words USING fts5(words, content='', contentless_delete=1, detail=none, tokenize='ascii')",
    "{{postgres}} CREATE TABLE IF NOT EXISTS message_search_1_words (rowid BIGINT PRIMARY KEY, words TEXT COLLATE \"C\" NOT NULL)",
    "{{postgres}} CREATE INDEX IF NOT EXISTS message_search_1_words_all ON message_search_1_words USING GIN (string_to_array(words, ' '))",
    "{{postgres}} CREATE OR REPLACE FUNCTION message_search_1_words(wanted TEXT) RETURNS TABLE (rowid BIGINT) LANGUAGE sql STABLE AS \
     $$ SELECT w.rowid FROM message_search_1_words w WHERE string_to_array(w.words, ' ') @> string_to_array(wanted, ' ') $$",
];

pub(super) const ADD: &str = "INSERT INTO message_search_1 (id, room_id, sequence, position, field, sender, words, at_ms) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";

pub(super) const ADD_WORDS: &str =
    "INSERT INTO message_search_1_words (rowid, words) VALUES ($1, $2)";

pub(super) const REMOVE_WORDS: &str = "DELETE FROM message_search_1_words WHERE rowid = \
     (SELECT id FROM message_search_1 WHERE room_id = $1 AND sequence = $2)";

pub(super) const REMOVE: &str = "DELETE FROM message_search_1 WHERE room_id = $1 AND sequence = $2";

pub(super) const ERASE: &str =
    "INSERT INTO message_search_1_erased (user_id) VALUES ($1) ON CONFLICT (user_id) DO NOTHING";

pub(super) const BRING_BACK: &str = "DELETE FROM message_search_1_erased WHERE user_id = $1";

/// What all questions have in common. SQLite joins in the order written: words come first.
macro_rules! found {
    ($before:literal, $after:literal) => {
        concat!(
            $before,
            " FROM message_search_1_words($1) f CROSS JOIN message_search_1 s CROSS JOIN memberships_1 m \
             WHERE s.id = f.rowid AND m.user_id = $2 AND m.room_id = s.room_id AND (m.membership = 'join' OR m.stay_to > s.position) \
             AND s.field IN ($3, $4, $5) \
             AND ($6 = '' OR s.room_id IN ($6, $7, $8, $9, $10, $11, $12, $13)) \
             AND ($14 = '' OR s.sender IN ($14, $15, $16, $17, $18, $19, $20, $21)) \
             AND NOT EXISTS (SELECT 1 FROM message_search_1_erased e WHERE e.user_id = s.sender)",
            $after
        )
    };
}

pub(super) const RECENT: &str = found!(
    "SELECT s.id, s.room_id, s.sequence, s.field, s.sender, s.words, s.at_ms",
    " AND (s.at_ms < $22 OR (s.at_ms = $22 AND s.id < $23)) ORDER BY s.at_ms DESC, s.id DESC LIMIT $24"
);

pub(super) const RANKED: &str = found!(
    "SELECT s.id, s.room_id, s.sequence, s.field, s.sender, s.words, s.at_ms",
    " AND (s.words > $22 OR (s.words = $22 AND (s.at_ms < $23 OR (s.at_ms = $23 AND s.id < $24)))) \
     ORDER BY s.words, s.at_ms DESC, s.id DESC LIMIT $25"
);

pub(super) const COUNT: &str = found!("SELECT COUNT(*) FROM (SELECT 1", " LIMIT $22) counted");

/// So many rooms and so many senders one question may name.
pub const NAMES_MAX: usize = 8;

/// Events are counted so far and no further.
pub const COUNT_MAX: usize = 10_000;

/// What is searched: event type, field of its content, how it is noted.
const FIELDS: [(&str, &str, &str); 3] = [
    ("m.room.message", "body", BODY),
    ("m.room.name", "name", NAME),
    ("m.room.topic", "topic", TOPIC),
];

/// `content.body` of messages.
pub const BODY: &str = "body";

/// `content.name` of the rooms' names.
pub const NAME: &str = "name";

/// `content.topic` of the rooms' topics.
pub const TOPIC: &str = "topic";

/// The model.
pub struct MessageSearch;

/// Which events are wanted.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    /// The words, as typed.
    pub term: &'a str,
    /// Who asks.
    pub user_id: &'a str,
    /// Which of [`BODY`], [`NAME`] and [`TOPIC`]; all when there are none.
    pub fields: &'a [&'a str],
    /// Only in these rooms, at most [`NAMES_MAX`]; everywhere when there are none.
    pub rooms: &'a [&'a str],
    /// Only of these senders, at most [`NAMES_MAX`]; of everybody when there are none.
    pub senders: &'a [&'a str],
}

/// The order of what is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Those in which the words are the greatest part come first; of equals the newest.
    Rank,
    /// The newest come first.
    Recent,
}

/// An event that has the words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundEvent {
    /// Its number in this model.
    pub id: u64,
    /// Where it is.
    pub room_id: String,
    /// Its number among the room's records.
    pub sequence: Sequence,
    /// [`BODY`], [`NAME`] or [`TOPIC`].
    pub field: String,
    /// Who sent it.
    pub sender: String,
    /// How many different words it has.
    pub words: u64,
    /// When it came.
    pub at_ms: u64,
}

/// A place among what is found, in either order: just after an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct After {
    /// [`FoundEvent::words`].
    pub words: u64,
    /// [`FoundEvent::at_ms`].
    pub at_ms: u64,
    /// [`FoundEvent::id`].
    pub id: u64,
}

impl After {
    /// Before everything.
    pub const BEGINNING: Self = Self {
        words: 0,
        at_ms: i64::MAX as u64,
        id: i64::MAX as u64,
    };
}

impl From<&FoundEvent> for After {
    fn from(found: &FoundEvent) -> Self {
        Self {
            words: found.words,
            at_ms: found.at_ms,
            id: found.id,
        }
    }
}

#[derive(Deserialize)]
struct Pdu<'a> {
    #[serde(rename = "type", borrow)]
    event_type: Cow<'a, str>,
    #[serde(borrow)]
    state_key: Option<Cow<'a, str>>,
    #[serde(borrow)]
    sender: Cow<'a, str>,
    #[serde(borrow)]
    content: &'a RawValue,
}

#[derive(Deserialize)]
struct Content<'a> {
    #[serde(borrow)]
    body: Option<&'a RawValue>,
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    topic: Option<&'a RawValue>,
}

/// What an event is found by: which field, and the sender; with the field's text.
fn searched(pdu: &Pdu<'_>) -> Option<(&'static str, String)> {
    let (_, _, field) = FIELDS
        .into_iter()
        .find(|(event_type, ..)| *event_type == pdu.event_type)?;
    let content: Content<'_> = serde_json::from_str(pdu.content.get()).ok()?;
    let (value, key) = match field {
        BODY => (content.body, None),
        NAME => (content.name, Some("")),
        _ => (content.topic, Some("")),
    };
    if pdu.state_key.as_deref() != key {
        return None;
    }
    Some((field, serde_json::from_str(value?.get()).ok()?))
}

/// The number of a record in this model: rooms' records have one position each.
fn id_of(record: &StoredRecord) -> Value {
    Value::Integer(Place::new(record.shard.number, record.position).column())
}

impl Model for MessageSearch {
    const NAME: &'static str = "message_search";
    const TABLE: &'static str = "message_search_1";
    const VERSION: u32 = 1;
    const FURTHER: &'static [&'static str] = &["message_search_1_words", "message_search_1_erased"];
    const PATIENCE_MS: u64 = 10_000;

    fn families(&self) -> &[Family] {
        &[Family::Rooms, Family::Users]
    }

    fn tables(&self) -> &[&'static str] {
        &TABLES
    }

    fn fold(&self, record: &StoredRecord) -> Result<Vec<Statement>, StoreError> {
        match record.kind {
            ERASURE if record.entity.prefix() == "room" => forget(record),
            kind::EVENT => add(record),
            DEACTIVATED => erase(record),
            REOPENED => Ok(vec![Statement {
                sql: BRING_BACK,
                values: vec![text(record.entity.name())],
            }]),
            _ => Ok(Vec::new()),
        }
    }
}

fn forget(record: &StoredRecord) -> Result<Vec<Statement>, StoreError> {
    let note: ErasureNote = rmp_serde::from_slice(&record.payload)
        .map_err(|error| StoreError::Damaged(format!("erasure: {error}")))?;
    let statement = |sql, sequence| Statement {
        sql,
        values: vec![text(record.entity.name()), number(sequence)],
    };
    let removals = note
        .sequences()
        .flat_map(|sequence| [REMOVE_WORDS, REMOVE].map(|sql| statement(sql, sequence)));
    Ok(removals.collect())
}

fn add(record: &StoredRecord) -> Result<Vec<Statement>, StoreError> {
    let types = FIELDS.map(|(event_type, ..)| event_type);
    if !types.iter().any(|name| may_hold(&record.payload, name)) {
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
    let Some((field, said)) = searched(&pdu) else {
        return Ok(Vec::new());
    };
    let (words, count) = words_of(&said);
    if count == 0 {
        return Ok(Vec::new());
    }
    let known = vec![
        id_of(record),
        text(record.entity.name()),
        number(record.sequence),
        number(record.position),
        text(field),
        text(pdu.sender),
        number(count as u64),
        number(record.at_ms),
    ];
    Ok(vec![
        Statement {
            sql: ADD,
            values: known,
        },
        Statement {
            sql: ADD_WORDS,
            values: vec![id_of(record), text(words)],
        },
    ])
}

fn erase(record: &StoredRecord) -> Result<Vec<Statement>, StoreError> {
    match UserRecord::decode(record)? {
        Some(UserRecord::Deactivated(closed)) if closed.erase => Ok(vec![Statement {
            sql: ERASE,
            values: vec![text(record.entity.name())],
        }]),
        _ => Ok(Vec::new()),
    }
}

impl Wanted<'_> {
    /// The first parameters of all questions; `None` when there is nothing to look for.
    fn values(&self) -> Option<Vec<Value>> {
        let mut values = vec![text(wanted(self.term)?), text(self.user_id)];
        let fields = if self.fields.is_empty() {
            &[BODY, NAME, TOPIC]
        } else {
            self.fields
        };
        for (names, places) in [
            (fields, 3),
            (self.rooms, NAMES_MAX),
            (self.senders, NAMES_MAX),
        ] {
            values.extend(super::padded(names, places));
        }
        Some(values)
    }
}

/// Events that have all the words: at most `limit` after a place.
pub async fn find(
    store: &dyn ModelStore,
    wanted: &Wanted<'_>,
    (order, after): (Order, After),
    limit: usize,
) -> Result<Vec<FoundEvent>, StoreError> {
    let Some(mut values) = wanted.values() else {
        return Ok(Vec::new());
    };
    let sql = match order {
        Order::Rank => {
            values.push(number(after.words));
            RANKED
        }
        Order::Recent => RECENT,
    };
    values.extend([number(after.at_ms), number(after.id), number(limit as u64)]);
    rows(store, (sql, values), read).await
}

/// How many events have all the words; [`COUNT_MAX`] stands for more.
pub async fn count(store: &dyn ModelStore, wanted: &Wanted<'_>) -> Result<u64, StoreError> {
    let Some(mut values) = wanted.values() else {
        return Ok(0);
    };
    values.push(number(COUNT_MAX as u64));
    let counts = rows(store, (COUNT, values), Columns::number).await?;
    Ok(counts.first().copied().unwrap_or(0))
}

fn read(columns: &mut Columns) -> Result<FoundEvent, StoreError> {
    Ok(FoundEvent {
        id: columns.number()?,
        room_id: columns.text()?,
        sequence: columns.number()?,
        field: columns.text()?,
        sender: columns.text()?,
        words: columns.number()?,
        at_ms: columns.number()?,
    })
}

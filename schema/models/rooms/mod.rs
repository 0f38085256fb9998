//! The rooms that are known here and what each is like, for administrators.
//!
//! Folded from accepted state events at the end of the timeline, from states that were resolved or that a join brought (those name events that came before,
//! wherever these stood), and from the list of public rooms. Who is in a room, `memberships` knows.

pub(super) mod list;

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::{Map, Value as Json};

pub use self::list::{Listed, Names, Wanted, find, get, names};
use super::{Model, number, of_gone, text, truth, user_names::fold};
use crate::{
    address::Family,
    port::{Statement, StoreError, StoredRecord, Value},
    record::{
        codec::Record as _,
        room::{EventRecord, Placement, RoomRecord, StateChange, Verdict, kind, may_hold},
    },
};

const TABLES: [&str; 3] = [
    "CREATE TABLE IF NOT EXISTS rooms_1 (
        room_id {{text}} PRIMARY KEY,
        version {{text}} NOT NULL,
        creator {{text}} NOT NULL,
        federatable BIGINT NOT NULL,
        room_type {{text}},
        public BIGINT NOT NULL,
        state_events BIGINT NOT NULL,
        name {{text}},
        folded {{text}},
        alias {{text}},
        folded_alias {{text}},
        encryption {{text}},
        join_rules {{text}},
        guest_access {{text}},
        history_visibility {{text}}
    )",
    "CREATE TABLE IF NOT EXISTS rooms_1_events (
        room_id {{text}} NOT NULL,
        sequence BIGINT NOT NULL,
        event_type {{text}} NOT NULL,
        event_id {{text}} NOT NULL,
        value {{text}},
        folded {{text}},
        PRIMARY KEY (room_id, sequence)
    )",
    "CREATE TABLE IF NOT EXISTS rooms_1_state (
        room_id {{text}} NOT NULL,
        event_type {{text}} NOT NULL,
        state_key {{text}} NOT NULL,
        event_id {{text}} NOT NULL,
        value {{text}},
        folded {{text}},
        PRIMARY KEY (room_id, event_type, state_key)
    )",
];

pub(super) const MADE: &str = "INSERT INTO rooms_1 (room_id, version, creator, federatable, room_type, public, state_events) \
     VALUES ($1, $2, $3, $4, $5, 0, 0) ON CONFLICT (room_id) DO UPDATE SET version = excluded.version, creator = excluded.creator, \
     federatable = excluded.federatable, room_type = excluded.room_type";

pub(super) const SET_PUBLIC: &str = "UPDATE rooms_1 SET public = $1 WHERE room_id = $2";

pub(super) const KEEP: &str = "INSERT INTO rooms_1_events (room_id, sequence, event_type, event_id, value, folded) VALUES ($1, $2, $3, $4, $5, $6) \
     ON CONFLICT DO NOTHING";

pub(super) const SET: &str = "INSERT INTO rooms_1_state (room_id, event_type, state_key, event_id, value, folded) VALUES ($1, $2, $3, $4, $5, $6) \
     ON CONFLICT (room_id, event_type, state_key) DO UPDATE SET event_id = excluded.event_id, value = excluded.value, folded = excluded.folded";

/// An event that was kept is in force.
pub(super) const ENFORCE: &str = "INSERT INTO rooms_1_state (room_id, event_type, state_key, event_id, value, folded) \
     SELECT CAST($1 AS TEXT), CAST($2 AS TEXT), CAST($3 AS TEXT), e.event_id, e.value, e.folded FROM rooms_1_events e \
     WHERE e.room_id = $1 AND e.sequence = $4 \
     ON CONFLICT (room_id, event_type, state_key) DO UPDATE SET event_id = excluded.event_id, value = excluded.value, folded = excluded.folded";

pub(super) const REMOVE: &str =
    "DELETE FROM rooms_1_state WHERE room_id = $1 AND event_type = $2 AND state_key = $3";

/// Join rules and history visibility keep what they say when they are redacted.
pub(super) const EMPTY: &str = "UPDATE rooms_1_state SET value = NULL, folded = NULL WHERE room_id = $1 AND state_key = '' AND event_id = $2 \
     AND event_type IN ('m.room.name', 'm.room.canonical_alias', 'm.room.guest_access', 'm.room.encryption')";

/// What is not in force any more, too.
pub(super) const EMPTY_KEPT: &str = "UPDATE rooms_1_events SET value = NULL, folded = NULL WHERE room_id = $1 AND event_id = $2 \
     AND event_type IN ('m.room.name', 'm.room.canonical_alias', 'm.room.guest_access', 'm.room.encryption')";

/// What a piece of state says.
macro_rules! said {
    ($column:literal, $event_type:literal) => {
        concat!(
            "(SELECT s.",
            $column,
            " FROM rooms_1_state s WHERE s.room_id = $1 AND s.event_type = '",
            $event_type,
            "' AND s.state_key = '')"
        )
    };
}

/// Takes over what the state says, where a condition holds.
macro_rules! refresh {
    ($condition:literal) => {
        concat!(
            "UPDATE rooms_1 SET state_events = (SELECT count(*) FROM rooms_1_state s WHERE s.room_id = $1), name = ",
            said!("value", "m.room.name"),
            ", folded = ",
            said!("folded", "m.room.name"),
            ", alias = ",
            said!("value", "m.room.canonical_alias"),
            ", folded_alias = ",
            said!("folded", "m.room.canonical_alias"),
            ", encryption = ",
            said!("value", "m.room.encryption"),
            ", join_rules = ",
            said!("value", "m.room.join_rules"),
            ", guest_access = ",
            said!("value", "m.room.guest_access"),
            ", history_visibility = ",
            said!("value", "m.room.history_visibility"),
            " WHERE room_id = $1",
            $condition
        )
    };
}

pub(super) const REFRESH: &str = refresh!("");

/// After a redaction: of most, nothing follows.
pub(super) const REFRESH_REDACTED: &str = refresh!(
    " AND EXISTS (SELECT 1 FROM rooms_1_state s WHERE s.room_id = $1 AND s.state_key = '' AND s.event_id = $2 \
     AND s.event_type IN ('m.room.name', 'm.room.canonical_alias', 'm.room.guest_access', 'm.room.encryption'))"
);

pub(super) const GONE: [&str; 3] = [
    "DELETE FROM rooms_1 WHERE room_id = $1",
    "DELETE FROM rooms_1_events WHERE room_id = $1",
    "DELETE FROM rooms_1_state WHERE room_id = $1",
];

const CREATE: &str = "m.room.create";
const MEMBER: &str = "m.room.member";

/// State whose content is looked at, and which field of it.
const FACTS: [(&str, &str); 6] = [
    ("m.room.name", "name"),
    ("m.room.canonical_alias", "alias"),
    ("m.room.encryption", "algorithm"),
    ("m.room.join_rules", "join_rule"),
    ("m.room.guest_access", "guest_access"),
    ("m.room.history_visibility", "history_visibility"),
];

/// The model.
pub struct Rooms;

#[derive(Deserialize)]
struct Pdu<'a> {
    #[serde(rename = "type", borrow)]
    event_type: Cow<'a, str>,
    #[serde(borrow)]
    state_key: Option<Cow<'a, str>>,
    #[serde(borrow)]
    sender: Cow<'a, str>,
    #[serde(borrow)]
    redacts: Option<Cow<'a, str>>,
    #[serde(borrow)]
    content: &'a serde_json::value::RawValue,
}

impl Model for Rooms {
    const NAME: &'static str = "rooms";
    const TABLE: &'static str = "rooms_1";
    const VERSION: u32 = 1;
    const FURTHER: &'static [&'static str] = &["rooms_1_events", "rooms_1_state"];

    fn families(&self) -> &[Family] {
        &[Family::Rooms]
    }

    fn tables(&self) -> &[&'static str] {
        &TABLES
    }

    fn fold(&self, record: &StoredRecord) -> Result<Vec<Statement>, StoreError> {
        let of_interest = ["state_key", "m.room.redaction"];
        match record.kind {
            kind::EVENT
                if of_interest
                    .iter()
                    .any(|text| may_hold(&record.payload, text)) => {}
            kind::STATE_SET | kind::STATE_COMPLETED | kind::DIRECTORY_VISIBILITY_SET => {}
            kind::EMPTIED => {
                return Ok(GONE.into_iter().map(|sql| of_gone(sql, record)).collect());
            }
            _ => return Ok(Vec::new()),
        }
        let room_id = || text(record.entity.name());
        Ok(match RoomRecord::decode(record)? {
            Some(RoomRecord::Event(event)) => fold_event(record, &event).unwrap_or_default(),
            Some(RoomRecord::StateSet(set)) if set.current => fold_changes(record, &set.changes),
            Some(RoomRecord::StateCompleted(completed)) => fold_changes(record, &completed.changes),
            Some(RoomRecord::DirectoryVisibilitySet(set)) => vec![Statement {
                sql: SET_PUBLIC,
                values: vec![truth(set.public), room_id()],
            }],
            _ => Vec::new(),
        })
    }
}

fn fold_event(record: &StoredRecord, event: &EventRecord) -> Option<Vec<Statement>> {
    if matches!(event.verdict, Verdict::Rejected(_)) {
        return None;
    }
    let pdu: Pdu<'_> = serde_json::from_slice(&event.pdu).ok()?;
    let is_accepted = event.verdict == Verdict::Accepted;
    let is_in_force = is_accepted && event.placement == Placement::Live;
    let Some(state_key) = &pdu.state_key else {
        let redacts = redacted(&pdu).filter(|_| is_in_force)?;
        return Some(redact(record, &redacts));
    };
    if pdu.event_type == MEMBER {
        return None;
    }
    let mut statements = Vec::new();
    if pdu.event_type == CREATE
        && state_key.is_empty()
        && is_accepted
        && event.placement != Placement::Backfilled
    {
        statements.push(made(record, &pdu));
    }
    let said = fact_of(&pdu.event_type, state_key).map(|field| {
        let content = object(pdu.content.get());
        content.and_then(|mut content| string(&mut content, field))
    });
    let folded = said.clone().flatten().map(|said| fold(&said));
    let said_values = [or_null(said.clone().flatten()), or_null(folded)];
    if said.is_some() {
        let mut values = vec![
            text(record.entity.name()),
            number(record.sequence),
            text(&*pdu.event_type),
            text(&*event.event_id),
        ];
        values.extend(said_values.clone());
        statements.push(Statement { sql: KEEP, values });
    }
    if is_in_force {
        let mut values = key(record, &pdu.event_type, state_key);
        values.push(text(&*event.event_id));
        values.extend(said_values);
        statements.push(Statement { sql: SET, values });
        statements.push(refresh(record));
    }
    Some(statements)
}

/// The event that a redaction names.
fn redacted(pdu: &Pdu<'_>) -> Option<String> {
    if pdu.event_type != "m.room.redaction" {
        return None;
    }
    match &pdu.redacts {
        Some(redacts) => Some(redacts.clone().into_owned()),
        None => string(&mut object(pdu.content.get())?, "redacts"),
    }
}

fn redact(record: &StoredRecord, event_id: &str) -> Vec<Statement> {
    let statement = |sql| Statement {
        sql,
        values: vec![text(record.entity.name()), text(event_id)],
    };
    [EMPTY, EMPTY_KEPT, REFRESH_REDACTED]
        .into_iter()
        .map(statement)
        .collect()
}

fn made(record: &StoredRecord, pdu: &Pdu<'_>) -> Statement {
    let mut content = object(pdu.content.get()).unwrap_or_default();
    let federatable = content.get("m.federate").and_then(Json::as_bool);
    let version = string(&mut content, "room_version").unwrap_or_else(|| "1".to_owned());
    Statement {
        sql: MADE,
        values: vec![
            text(record.entity.name()),
            text(version),
            text(&*pdu.sender),
            truth(federatable.unwrap_or(true)),
            or_null(string(&mut content, "type")),
        ],
    }
}

fn fold_changes(record: &StoredRecord, changes: &[StateChange]) -> Vec<Statement> {
    let changes = changes.iter();
    let others = changes.filter(|change| change.event_type != MEMBER);
    let mut statements: Vec<_> = others
        .map(|change| {
            let mut values = key(record, &change.event_type, &change.state_key);
            let is_fact = fact_of(&change.event_type, &change.state_key).is_some();
            let sql = match change.event {
                None => REMOVE,
                Some(sequence) if is_fact => {
                    values.push(number(sequence));
                    ENFORCE
                }
                Some(_) => {
                    values.extend([text(""), Value::Null, Value::Null]);
                    SET
                }
            };
            Statement { sql, values }
        })
        .collect();
    if !statements.is_empty() {
        statements.push(refresh(record));
    }
    statements
}

fn refresh(record: &StoredRecord) -> Statement {
    Statement {
        sql: REFRESH,
        values: vec![text(record.entity.name())],
    }
}

/// Room, type and state key. PostgreSQL knows no text with NUL in it.
fn key(record: &StoredRecord, event_type: &str, state_key: &str) -> Vec<Value> {
    vec![
        text(record.entity.name()),
        text(event_type.replace('\0', "")),
        text(state_key.replace('\0', "")),
    ]
}

/// The field of a piece of state that is looked at.
fn fact_of(event_type: &str, state_key: &str) -> Option<&'static str> {
    let known = FACTS.into_iter().find(|(known, _)| *known == event_type)?;
    state_key.is_empty().then_some(known.1)
}

fn object(json: &str) -> Option<Map<String, Json>> {
    serde_json::from_str(json).ok()
}

/// A field that is a text and says something.
fn string(content: &mut Map<String, Json>, field: &str) -> Option<String> {
    match content.remove(field)? {
        Json::String(value) if !value.is_empty() => Some(value.replace('\0', "")),
        _ => None,
    }
}

fn or_null(value: Option<String>) -> Value {
    value.map_or(Value::Null, text)
}

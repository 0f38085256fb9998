//! What rooms say of themselves: the few pieces of state by which somebody outside finds them, without waking them.
//!
//! Folded from accepted state events at the end of the timeline, as memberships are. A redaction empties what it empties in the room.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::{Map, Value as Json};

use super::{Model, of_gone, text};
use crate::{
    address::Family,
    port::{Statement, StoreError, StoredRecord, Value},
    record::{
        codec::Record as _,
        room::{Placement, RoomRecord, Verdict, kind, may_hold},
    },
};

const TABLES: [&str; 1] = ["CREATE TABLE IF NOT EXISTS room_facts_1 (
        room_id {{text}} NOT NULL,
        fact {{text}} NOT NULL,
        value {{text}},
        event_id {{text}} NOT NULL,
        PRIMARY KEY (room_id, fact)
    )"];

pub(super) const SET: &str = "INSERT INTO room_facts_1 (room_id, fact, value, event_id) VALUES ($1, $2, $3, $4) \
     ON CONFLICT (room_id, fact) DO UPDATE SET value = excluded.value, event_id = excluded.event_id";

/// Join rules, history visibility and the type keep what they say when they are redacted.
pub(super) const EMPTY: &str = "UPDATE room_facts_1 SET value = NULL WHERE room_id = $1 AND event_id = $2 \
     AND fact IN ('name', 'topic', 'avatar', 'alias', 'guests')";

pub(super) const GONE: &str = "DELETE FROM room_facts_1 WHERE room_id = $1";

/// What is kept: event type, field of its content, name of the fact.
const FACTS: [(&str, &str, &str); 8] = [
    ("m.room.name", "name", "name"),
    ("m.room.topic", "topic", "topic"),
    ("m.room.avatar", "url", "avatar"),
    ("m.room.canonical_alias", "alias", "alias"),
    ("m.room.guest_access", "guest_access", "guests"),
    ("m.room.join_rules", "join_rule", "join_rule"),
    (
        "m.room.history_visibility",
        "history_visibility",
        "visibility",
    ),
    ("m.room.create", "type", "type"),
];

/// The model.
pub struct RoomFacts;

/// As much of a PDU as tells whether it says something of the room.
#[derive(Deserialize)]
struct Pdu<'a> {
    #[serde(rename = "type", borrow)]
    event_type: Cow<'a, str>,
    #[serde(borrow)]
    state_key: Option<Cow<'a, str>>,
    #[serde(borrow)]
    redacts: Option<Cow<'a, str>>,
    #[serde(borrow)]
    content: &'a serde_json::value::RawValue,
}

impl Model for RoomFacts {
    const NAME: &'static str = "room_facts";
    const TABLE: &'static str = "room_facts_1";
    const VERSION: u32 = 1;

    fn families(&self) -> &[Family] {
        &[Family::Rooms]
    }

    fn tables(&self) -> &[&'static str] {
        &TABLES
    }

    fn fold(&self, record: &StoredRecord) -> Result<Vec<Statement>, StoreError> {
        if record.kind == kind::EMPTIED {
            return Ok(vec![of_gone(GONE, record)]);
        }
        let of_interest = ["state_key", "m.room.redaction"];
        if record.kind != kind::EVENT
            || !of_interest
                .iter()
                .any(|text| may_hold(&record.payload, text))
        {
            return Ok(Vec::new());
        }
        let Some(RoomRecord::Event(event)) = RoomRecord::decode(record)? else {
            return Ok(Vec::new());
        };
        if event.placement != Placement::Live || event.verdict != Verdict::Accepted {
            return Ok(Vec::new());
        }
        let change = change(record.entity.name(), &event.event_id, &event.pdu);
        Ok(change.into_iter().collect())
    }
}

fn change(room_id: &str, event_id: &str, pdu: &[u8]) -> Option<Statement> {
    let pdu: Pdu<'_> = serde_json::from_slice(pdu).ok()?;
    if pdu.event_type == "m.room.redaction" {
        let content = || object(pdu.content.get());
        let redacts = match pdu.redacts {
            Some(redacts) => redacts.into_owned(),
            None => string(&mut content()?, "redacts")?,
        };
        return Some(Statement {
            sql: EMPTY,
            values: vec![text(room_id), text(redacts)],
        });
    }
    if pdu.state_key.as_deref() != Some("") {
        return None;
    }
    let (_, field, fact) = FACTS
        .into_iter()
        .find(|(event_type, ..)| *event_type == pdu.event_type)?;
    let value = object(pdu.content.get()).and_then(|mut content| string(&mut content, field));
    Some(Statement {
        sql: SET,
        values: vec![
            text(room_id),
            text(fact),
            value.map_or(Value::Null, text),
            text(event_id),
        ],
    })
}

fn object(json: &str) -> Option<Map<String, Json>> {
    serde_json::from_str(json).ok()
}

/// A field that is a text and says something. PostgreSQL knows no text with NUL in it.
fn string(content: &mut Map<String, Json>, field: &str) -> Option<String> {
    match content.remove(field)? {
        Json::String(value) if !value.is_empty() => Some(value.replace('\0', "")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(pdu: &str) -> Option<(&'static str, Vec<Value>)> {
        let statement = change("!r", "$e", pdu.as_bytes())?;
        Some((statement.sql, statement.values))
    }

    #[test]
    fn state_sets_facts() {
        let name = r#"{"type":"m.room.name","state_key":"","content":{"name":"A\u0000B"}}"#;
        let (sql, values) = told(name).expect("a statement");
        assert_eq!(sql, SET);
        assert_eq!(values, [text("!r"), text("name"), text("AB"), text("$e")]);
        for odd in ["{}", r#"{"name":7}"#, r#"{"name":""}"#, "[]"] {
            let pdu = format!(r#"{{"type":"m.room.name","state_key":"","content":{odd}}}"#);
            assert_eq!(told(&pdu).expect("a statement").1[2], Value::Null);
        }
    }

    #[test]
    fn other_events_set_nothing() {
        for pdu in [
            r#"{"type":"m.room.name","state_key":"x","content":{"name":"A"}}"#,
            r#"{"type":"m.room.name","content":{"name":"A"}}"#,
            r#"{"type":"m.room.member","state_key":"","content":{}}"#,
            r#"{"type":"m.room.redaction","content":{}}"#,
            "{",
        ] {
            assert_eq!(told(pdu), None, "{pdu}");
        }
    }

    #[test]
    fn a_redaction_empties_wherever_it_says_what() {
        for pdu in [
            r#"{"type":"m.room.redaction","redacts":"$x","content":{}}"#,
            r#"{"type":"m.room.redaction","content":{"redacts":"$x"}}"#,
        ] {
            let (sql, values) = told(pdu).expect("a statement");
            assert_eq!((sql, values), (EMPTY, vec![text("!r"), text("$x")]));
        }
    }
}

//! An event as the room knows it: the PDU, its place in the room, and the form in which clients see it.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use playhouse_schema::{
    address::{Position, Sequence},
    port::{StoreError, StoredRecord},
    record::{
        codec::Record as _,
        room::{EventRecord, Placement, RoomRecord, StateId, Transaction, Verdict},
    },
};

use ruma::{OwnedEventId, events::TimelineEventType};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    pdu::{Pdu, stored_event_id},
    retention::is_emptied,
};

/// An event and its place in the room. Shared by everything that carries it.
#[derive(Debug)]
pub struct RoomEvent {
    /// The event itself.
    pub pdu: Pdu,
    /// Its number among the room's records.
    pub sequence: Sequence,
    /// Its position in the shard; 0 while its commit is in flight.
    position: AtomicU64,
    /// When it was recorded, milliseconds since the Unix epoch; 0 where nobody has told.
    recorded_ms: AtomicU64,
    /// The state of the room before it.
    pub before: StateId,
    /// For a state event: what it replaced.
    pub replaces: Option<Sequence>,
    /// What the checks said.
    pub verdict: Verdict,
    /// Where it belongs.
    pub placement: Placement,
    /// The client's transaction behind it.
    pub transaction: Option<Transaction>,
    /// The server that brought it, where that is not the sender's.
    pub from: Option<Box<str>>,
    /// What every answer tells of it, once somebody asked.
    client_parts: OnceLock<ClientParts>,
    /// What it replaced, once somebody asked.
    replaced: OnceLock<Replaced>,
}

/// What every answer to clients tells of an event, side by side: to list the state of a large room is to wait for memory, and the rest of the event is wide.
#[derive(Debug)]
pub(crate) struct ClientParts {
    /// The event as clients see it, without the closing brace and without `room_id` and `unsigned`: `{"content":…,"event_id":…,…,"type":…`.
    pub(crate) head: Box<str>,
    /// In a redacted event's `unsigned`: the redaction, as JSON text.
    pub(crate) redacted_because: Option<Box<str>>,
    /// When it was made, by the sender's server, milliseconds since the Unix epoch.
    pub(crate) origin_server_ts_ms: u64,
    /// Nothing else of the event is told: it never stuck, and no client's transaction is behind it.
    pub(crate) is_plain: bool,
}

/// What clients learn of the state event that another one replaced.
#[derive(Clone, Debug)]
pub(crate) struct Replaced {
    /// Its ID.
    pub(crate) event_id: OwnedEventId,
    /// Its content, as JSON text.
    pub(crate) content: Arc<str>,
}

/// The same record.
impl PartialEq for RoomEvent {
    fn eq(&self, other: &Self) -> bool {
        self.sequence == other.sequence && self.pdu.event_id == other.pdu.event_id
    }
}

impl RoomEvent {
    /// An event from its record. `None` when the stored bytes are no PDU, which only damage can bring about.
    pub fn from_record(
        sequence: Sequence,
        position: Position,
        record: &EventRecord,
    ) -> Option<Self> {
        let event_id = stored_event_id(&record.event_id)?;
        let mut pdu = Pdu::parse(event_id, Bytes::copy_from_slice(&record.pdu)).ok()?;
        pdu.rejected = matches!(record.verdict, Verdict::Rejected(_));
        Some(Self {
            pdu,
            sequence,
            position: AtomicU64::new(position),
            recorded_ms: AtomicU64::new(0),
            before: record.before,
            replaces: record.replaces,
            verdict: record.verdict.clone(),
            placement: record.placement,
            transaction: record.transaction.clone(),
            from: record.from.as_deref().map(Into::into),
            client_parts: OnceLock::new(),
            replaced: OnceLock::new(),
        })
    }

    /// An event from the log; `None` for a record that is no event.
    pub fn from_stored(stored: &StoredRecord) -> Result<Option<Arc<Self>>, StoreError> {
        match RoomRecord::decode(stored)? {
            Some(RoomRecord::Event(record)) => {
                Self::from_record(stored.sequence, stored.position, &record)
                    .inspect(|event| event.note_recorded(stored.at_ms))
                    .map(|event| Some(Arc::new(event)))
                    .ok_or_else(|| {
                        StoreError::Damaged(format!(
                            "{}: event {} is no PDU",
                            stored.entity, record.event_id
                        ))
                    })
            }
            _ => Ok(None),
        }
    }

    /// The record that this event is, with another PDU: what an erasure puts in its place.
    pub(crate) fn to_record(&self, pdu: Vec<u8>) -> EventRecord {
        EventRecord {
            event_id: self.pdu.event_id.to_string(),
            pdu: pdu.into(),
            before: self.before,
            replaces: self.replaces,
            verdict: self.verdict.clone(),
            placement: self.placement,
            transaction: self.transaction.clone(),
            from: self.from.as_deref().map(Into::into),
        }
    }

    /// Its position in the shard; 0 while its commit is in flight.
    pub fn position(&self) -> Position {
        self.position.load(Ordering::Acquire)
    }

    /// The commit has told the position.
    pub(crate) fn landed(&self, position: Position) {
        self.position.store(position, Ordering::Release);
    }

    /// When it was recorded, milliseconds since the Unix epoch; 0 where nobody has told.
    pub(crate) fn recorded_ms(&self) -> u64 {
        self.recorded_ms.load(Ordering::Acquire)
    }

    /// Somebody tells when it was recorded. The first word counts.
    pub(crate) fn note_recorded(&self, at_ms: u64) {
        let (set, seen) = (Ordering::AcqRel, Ordering::Acquire);
        let _ = self.recorded_ms.compare_exchange(0, at_ms, set, seen);
    }

    /// Whether clients may ever see it in a timeline.
    pub fn is_visible(&self) -> bool {
        self.verdict == Verdict::Accepted
            && self.placement != Placement::Outlier
            && !is_emptied(self)
    }

    /// What every answer tells of it. Built once, shared by all answers.
    pub(crate) fn client_parts(&self) -> &ClientParts {
        self.client_parts.get_or_init(|| ClientParts {
            head: self.build_client_head().into(),
            redacted_because: self.read_redacted_because(),
            origin_server_ts_ms: self.pdu.origin_server_ts.0.into(),
            is_plain: self.pdu.sticky_ms.is_none() && self.transaction.is_none(),
        })
    }

    /// What it replaced, if [`RoomEvent::keep_replaced`] has told. Stale once the replaced event is redacted.
    pub(crate) fn kept_replaced(&self) -> Option<&Replaced> {
        self.replaced.get()
    }

    /// Keeps what it replaced for the next reader.
    pub(crate) fn keep_replaced(&self, replaced: &Replaced) {
        let _ = self.replaced.set(replaced.clone());
    }

    /// For a redacted event: the redaction as JSON text.
    pub(crate) fn redacted_because(&self) -> Option<&str> {
        self.client_parts().redacted_because.as_deref()
    }

    fn read_redacted_because(&self) -> Option<Box<str>> {
        #[derive(Deserialize)]
        struct Outer<'a> {
            #[serde(borrow)]
            unsigned: Option<Unsigned<'a>>,
        }
        #[derive(Deserialize)]
        struct Unsigned<'a> {
            #[serde(borrow)]
            redacted_because: Option<&'a RawValue>,
        }
        let text = std::str::from_utf8(self.pdu.json()).ok()?;
        if !text.contains("\"redacted_because\"") {
            return None;
        }
        let outer: Outer<'_> = serde_json::from_str(text).ok()?;
        let because = outer.unsigned?.redacted_because?;
        Some(because.get().into())
    }

    fn build_client_head(&self) -> String {
        let pdu = &self.pdu;
        let mut head = String::with_capacity(pdu.content_json().len() + 256);
        head.push_str("{\"content\":");
        self.push_content(&mut head);
        head.push_str(",\"event_id\":");
        push_json_string(&mut head, pdu.event_id.as_str());
        if let Some(duration_ms) = pdu.sticky_ms {
            head.push_str(",\"msc4354_sticky\":{\"duration_ms\":");
            head.push_str(&duration_ms.to_string());
            head.push('}');
        }
        head.push_str(",\"origin_server_ts\":");
        head.push_str(&u64::from(pdu.origin_server_ts.0).to_string());
        // Towards clients `redacts` stands in both places whatever the room version (client-server API, m.room.redaction).
        if let Some(redacts) = &pdu.redacts {
            head.push_str(",\"redacts\":");
            push_json_string(&mut head, redacts.as_str());
        }
        head.push_str(",\"sender\":");
        push_json_string(&mut head, pdu.sender.as_str());
        if let Some(state_key) = &pdu.state_key {
            head.push_str(",\"state_key\":");
            push_json_string(&mut head, state_key);
        }
        head.push_str(",\"type\":");
        push_json_string(&mut head, &pdu.event_type.to_string());
        head
    }

    /// The content; that of a redaction names its target in every room version (client-server API, m.room.redaction).
    fn push_content(&self, head: &mut String) {
        #[derive(Deserialize)]
        struct Target {
            redacts: Option<serde::de::IgnoredAny>,
        }
        let content = self.pdu.content_json();
        let missing = self.pdu.redacts.as_ref().filter(|_| {
            if self.pdu.event_type != TimelineEventType::RoomRedaction {
                return false;
            }
            let target = self.pdu.content_as::<Target>();
            target.is_none_or(|target| target.redacts.is_none())
        });
        let rest = content.strip_prefix('{').map(str::trim_start);
        match (missing, rest) {
            (Some(redacts), Some(rest)) => {
                head.push_str("{\"redacts\":");
                push_json_string(head, redacts.as_str());
                head.push_str(if rest.starts_with('}') { "" } else { "," });
                head.push_str(rest);
            }
            _ => head.push_str(content),
        }
    }

    /// Memory it takes, roughly.
    pub fn weight_bytes(&self) -> usize {
        200 + self.pdu.weight_bytes()
    }
}

/// Appends a JSON string literal.
pub(crate) fn push_json_string(out: &mut String, text: &str) {
    let is_escaped = |byte: u8| byte < b' ' || byte == b'"' || byte == b'\\';
    if text.bytes().any(is_escaped) {
        let literal = serde_json::to_string(text);
        out.push_str(&literal.expect("a string is always representable in JSON"));
        return;
    }
    out.push('"');
    out.push_str(text);
    out.push('"');
}

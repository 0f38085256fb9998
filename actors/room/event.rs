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

use super::pdu::{Pdu, stored_event_id};

/// An event and its place in the room. Shared by everything that carries it.
#[derive(Debug)]
pub struct RoomEvent {
    /// The event itself.
    pub pdu: Pdu,
    /// Its number among the room's records.
    pub sequence: Sequence,
    /// Its position in the shard; 0 while its commit is in flight.
    position: AtomicU64,
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
    /// The client form up to, and without, `unsigned`: see [`RoomEvent::client_head`].
    client_head: OnceLock<Bytes>,
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
            before: record.before,
            replaces: record.replaces,
            verdict: record.verdict.clone(),
            placement: record.placement,
            transaction: record.transaction.clone(),
            client_head: OnceLock::new(),
        })
    }

    /// An event from the log; `None` for a record that is no event.
    pub fn from_stored(stored: &StoredRecord) -> Result<Option<Arc<Self>>, StoreError> {
        match RoomRecord::decode(stored)? {
            Some(RoomRecord::Event(record)) => {
                Self::from_record(stored.sequence, stored.position, &record)
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

    /// Whether clients may ever see it in a timeline.
    pub fn is_visible(&self) -> bool {
        self.verdict == Verdict::Accepted && self.placement != Placement::Outlier
    }

    /// The event as clients see it, without the closing brace and without `room_id` and `unsigned`: `{"content":…,"event_id":…,…,"type":…`.
    /// Built once, shared by all answers.
    pub fn client_head(&self) -> &Bytes {
        self.client_head.get_or_init(|| self.build_client_head())
    }

    fn build_client_head(&self) -> Bytes {
        let pdu = &self.pdu;
        let mut head = String::with_capacity(pdu.content_json().len() + 256);
        head.push_str("{\"content\":");
        head.push_str(pdu.content_json());
        head.push_str(",\"event_id\":");
        push_json_string(&mut head, pdu.event_id.as_str());
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
        Bytes::from(head)
    }

    /// Memory it takes, roughly.
    pub fn weight_bytes(&self) -> usize {
        200 + self.pdu.weight_bytes()
    }
}

/// Appends a JSON string literal.
pub(crate) fn push_json_string(out: &mut String, text: &str) {
    out.push_str(&serde_json::to_string(text).expect("a string is always representable in JSON"));
}

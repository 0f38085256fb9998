//! A PDU: an event in the form servers exchange. Kept as the bytes received, parsed to decide, never written again from parsed form.

use std::ops::Range;

use bytes::Bytes;
use ruma::{
    EventId, MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, UserId,
    events::TimelineEventType, state_res::Event,
};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{numbers::whole_numbers, sticky};

/// An event in the form servers exchange.
#[derive(Clone, Debug)]
pub struct Pdu {
    /// The event ID: given in room versions 1 and 2, the reference hash from version 3 on.
    pub event_id: OwnedEventId,
    /// The room; absent from the create event of room version 12.
    pub room_id: Option<OwnedRoomId>,
    /// Who sent it.
    pub sender: OwnedUserId,
    /// The event type.
    pub event_type: TimelineEventType,
    /// The state key of a state event.
    pub state_key: Option<String>,
    /// When it was made, by the sender's server.
    pub origin_server_ts: MilliSecondsSinceUnixEpoch,
    /// One more than the deepest of its predecessors.
    pub depth: u64,
    /// Its predecessors.
    pub prev_events: Vec<OwnedEventId>,
    /// The events that authorise it.
    pub auth_events: Vec<OwnedEventId>,
    /// The event that it redacts, wherever the room version puts that.
    pub redacts: Option<OwnedEventId>,
    /// It sticks to the room for so long, milliseconds (MSC4354).
    pub sticky_ms: Option<u64>,
    /// Failed its checks.
    pub rejected: bool,
    json: Bytes,
    content: Range<usize>,
    /// The content as the rules read it, where that is not what stands there.
    judged: Option<Box<RawValue>>,
}

/// The bytes are not a PDU.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a PDU: {0}")]
pub struct MalformedPdu(String);

/// A link to another event: an ID, or (room versions 1 and 2) a pair of ID and hashes.
#[derive(Deserialize)]
#[serde(untagged)]
enum EventLink {
    Id(OwnedEventId),
    Pair(OwnedEventId, serde::de::IgnoredAny),
}

impl EventLink {
    fn id(self) -> OwnedEventId {
        match self {
            EventLink::Id(id) | EventLink::Pair(id, _) => id,
        }
    }
}

#[derive(Deserialize)]
struct Wire<'a> {
    room_id: Option<OwnedRoomId>,
    sender: OwnedUserId,
    #[serde(rename = "type")]
    event_type: TimelineEventType,
    state_key: Option<String>,
    origin_server_ts: MilliSecondsSinceUnixEpoch,
    depth: u64,
    #[serde(default)]
    prev_events: Vec<EventLink>,
    #[serde(default)]
    auth_events: Vec<EventLink>,
    redacts: Option<OwnedEventId>,
    #[serde(borrow, rename = "msc4354_sticky")]
    sticky: Option<&'a RawValue>,
    #[serde(borrow)]
    content: &'a RawValue,
}

#[derive(Deserialize)]
struct RedactionContent {
    redacts: Option<OwnedEventId>,
}

/// The fields of a PDU that was just made, see [`Pdu::made`].
pub(crate) struct Fields {
    pub(crate) event_id: OwnedEventId,
    pub(crate) room_id: Option<OwnedRoomId>,
    pub(crate) sender: OwnedUserId,
    pub(crate) event_type: TimelineEventType,
    pub(crate) state_key: Option<String>,
    pub(crate) origin_server_ts: MilliSecondsSinceUnixEpoch,
    pub(crate) depth: u64,
    pub(crate) prev_events: Vec<OwnedEventId>,
    pub(crate) auth_events: Vec<OwnedEventId>,
    pub(crate) redacts: Option<OwnedEventId>,
    pub(crate) sticky_ms: Option<u64>,
}

impl Pdu {
    /// A PDU from the fields that its JSON was written from: spares parsing it again. `content` is the span of the content.
    pub(crate) fn made(fields: Fields, json: Bytes, content: Range<usize>) -> Self {
        Self {
            judged: judged(&fields.event_type, &json[content.clone()]),
            event_id: fields.event_id,
            room_id: fields.room_id,
            sender: fields.sender,
            event_type: fields.event_type,
            state_key: fields.state_key,
            origin_server_ts: fields.origin_server_ts,
            depth: fields.depth,
            prev_events: fields.prev_events,
            auth_events: fields.auth_events,
            redacts: fields.redacts,
            sticky_ms: fields.sticky_ms,
            rejected: false,
            json,
            content,
        }
    }

    /// Parses stored or received bytes.
    pub fn parse(event_id: OwnedEventId, json: Bytes) -> Result<Self, MalformedPdu> {
        let text = std::str::from_utf8(&json).map_err(|error| MalformedPdu(error.to_string()))?;
        let wire: Wire<'_> =
            serde_json::from_str(text).map_err(|error| MalformedPdu(error.to_string()))?;
        let start = wire.content.get().as_ptr() as usize - text.as_ptr() as usize;
        let content = start..start + wire.content.get().len();
        let judged = judged(&wire.event_type, wire.content.get().as_bytes());
        let redacts = match (wire.redacts, &wire.event_type) {
            (Some(redacts), _) => Some(redacts),
            (None, TimelineEventType::RoomRedaction) => {
                serde_json::from_str::<RedactionContent>(wire.content.get())
                    .ok()
                    .and_then(|content| content.redacts)
            }
            (None, _) => None,
        };
        Ok(Self {
            event_id,
            room_id: wire.room_id,
            sender: wire.sender,
            event_type: wire.event_type,
            state_key: wire.state_key,
            origin_server_ts: wire.origin_server_ts,
            depth: wire.depth,
            prev_events: wire.prev_events.into_iter().map(EventLink::id).collect(),
            auth_events: wire.auth_events.into_iter().map(EventLink::id).collect(),
            redacts,
            sticky_ms: wire.sticky.and_then(|sticky| sticky::read(sticky.get())),
            rejected: false,
            content,
            judged,
            json,
        })
    }

    /// The bytes received.
    pub fn json(&self) -> &Bytes {
        &self.json
    }

    /// The content's JSON text.
    pub fn content_json(&self) -> &str {
        std::str::from_utf8(&self.json[self.content.clone()]).unwrap_or("{}")
    }

    /// The content's JSON text as shared bytes.
    pub fn content_bytes(&self) -> Bytes {
        self.json.slice(self.content.clone())
    }

    /// Reads the content, or part of it, as some type; `None` when it does not fit.
    pub fn content_as<'a, T: Deserialize<'a>>(&'a self) -> Option<T> {
        serde_json::from_str(self.content_json()).ok()
    }

    /// Whether it is a state event.
    pub fn is_state(&self) -> bool {
        self.state_key.is_some()
    }

    /// Memory it takes, roughly.
    pub fn weight_bytes(&self) -> usize {
        400 + self.json.len()
    }
}

impl Event for Pdu {
    type Id = OwnedEventId;

    fn event_id(&self) -> &OwnedEventId {
        &self.event_id
    }

    fn room_id(&self) -> Option<&RoomId> {
        self.room_id.as_deref()
    }

    fn sender(&self) -> &UserId {
        &self.sender
    }

    fn origin_server_ts(&self) -> MilliSecondsSinceUnixEpoch {
        self.origin_server_ts
    }

    fn event_type(&self) -> &TimelineEventType {
        &self.event_type
    }

    fn content(&self) -> &RawValue {
        if let Some(judged) = &self.judged {
            return judged;
        }
        serde_json::from_str(self.content_json()).expect("this span was parsed as JSON before")
    }

    fn state_key(&self) -> Option<&str> {
        self.state_key.as_deref()
    }

    fn prev_events(&self) -> Box<dyn DoubleEndedIterator<Item = &OwnedEventId> + '_> {
        Box::new(self.prev_events.iter())
    }

    fn auth_events(&self) -> Box<dyn DoubleEndedIterator<Item = &OwnedEventId> + '_> {
        Box::new(self.auth_events.iter())
    }

    fn redacts(&self) -> Option<&OwnedEventId> {
        self.redacts.as_ref()
    }

    fn rejected(&self) -> bool {
        self.rejected
    }
}

/// Power levels with floats, as rooms of versions 1 to 5 have them, are whole numbers to the rules: nothing else in a room has numbers that decide.
fn judged(event_type: &TimelineEventType, content: &[u8]) -> Option<Box<RawValue>> {
    if *event_type != TimelineEventType::RoomPowerLevels {
        return None;
    }
    let whole = whole_numbers(std::str::from_utf8(content).ok()?)?;
    RawValue::from_string(whole).ok()
}

/// The event ID under which stored bytes are known; stored IDs were valid when written.
pub(crate) fn stored_event_id(text: &str) -> Option<OwnedEventId> {
    EventId::parse(text).ok()
}

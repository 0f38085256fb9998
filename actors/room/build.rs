//! Makes PDUs for local users: links, hash, signature, event ID. The hot path of every send.

use bytes::Bytes;
use playhouse_schema::{
    chain::digest,
    record::room::{EventRecord, Placement, Transaction, Verdict},
};
use ruma::{
    EventId, MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedUserId, UInt,
    canonical_json::{RedactingSerializer, redact_content_in_place},
    events::TimelineEventType,
    room_version_rules::{EventIdFormatVersion, EventsReferenceFormatVersion, RoomVersionRules},
    signatures::KeyPair as _,
};

use super::{
    Room, RoomError, auth,
    canonical::Canonical,
    event::push_json_string,
    pdu::{Fields, Pdu},
    state::Extremity,
};
use crate::env::Env;

/// The most bytes of a PDU with its signatures (client-server API, "Size limits").
pub(crate) const PDU_BYTES_MAX: usize = 65_536;

/// The most bytes of a type, a state key and the identifiers of an event.
pub(crate) const FIELD_BYTES_MAX: usize = 255;

/// The most predecessors of an event.
const PREV_EVENTS_MAX: usize = 20;

/// The deepest depth: what canonical JSON can say.
const DEPTH_MAX: u64 = (1 << 53) - 1;

/// What a local user wants to become an event.
#[derive(Debug)]
pub(crate) struct NewEvent {
    pub(crate) sender: OwnedUserId,
    pub(crate) event_type: TimelineEventType,
    pub(crate) state_key: Option<String>,
    pub(crate) content: Canonical,
    /// For a redaction: which event.
    pub(crate) redacts: Option<OwnedEventId>,
    /// Another time than now.
    pub(crate) origin_server_ts: Option<u64>,
    /// It sticks to the room for so long.
    pub(crate) sticky_ms: Option<u64>,
}

impl NewEvent {
    /// A state event.
    pub(crate) fn state(
        sender: OwnedUserId,
        event_type: impl Into<TimelineEventType>,
        state_key: impl Into<String>,
        content: Canonical,
    ) -> Self {
        Self {
            sender,
            event_type: event_type.into(),
            state_key: Some(state_key.into()),
            content,
            redacts: None,
            origin_server_ts: None,
            sticky_ms: None,
        }
    }
}

/// An event that was made and fits the room's present end.
#[derive(Debug)]
pub(crate) struct Built {
    pub(crate) pdu: Pdu,
}

impl Built {
    /// What is written to the log.
    pub(crate) fn record(&self, room: &Room, transaction: Option<Transaction>) -> EventRecord {
        let pdu = &self.pdu;
        let replaces = pdu
            .state_key
            .as_ref()
            .and_then(|key| room.current.get(&(pdu.event_type.clone(), key.clone())))
            .map(|event| event.sequence);
        EventRecord {
            event_id: pdu.event_id.to_string(),
            pdu: pdu.json().to_vec().into(),
            before: room.current_id,
            replaces,
            verdict: Verdict::Accepted,
            placement: Placement::Live,
            transaction,
            from: None,
        }
    }
}

/// Makes the event at the room's present end: predecessors, authorising events and depth follow from the state.
pub(crate) fn build(room: &Room, env: &Env, event: NewEvent) -> Result<Built, RoomError> {
    let rules = room.rules()?;
    let ends = newest_ends(room);
    let authorising = auth::auth_events(room, &event)?;
    let depth = ends
        .iter()
        .map(|end| end.depth.saturating_add(1))
        .max()
        .unwrap_or(1)
        .min(DEPTH_MAX);
    let prev_events: Vec<_> = ends.iter().map(|end| end.event_id.clone()).collect();
    let auth_events: Vec<_> = authorising
        .iter()
        .map(|event| event.pdu.event_id.clone())
        .collect();
    let links = Links {
        prev_events: links_text(room, rules, &prev_events),
        auth_events: links_text(room, rules, &auth_events),
    };
    let is_roomless = rules.authorization.room_create_event_id_as_room_id
        && event.event_type == TimelineEventType::RoomCreate;
    let fields = Fields {
        event_id: first_event_id(env, rules),
        room_id: (!is_roomless).then(|| room.room_id.clone()),
        sender: event.sender,
        event_type: event.event_type,
        state_key: event.state_key,
        origin_server_ts: timestamp(event.origin_server_ts.unwrap_or_else(|| env.now_ms()))?,
        depth,
        prev_events,
        auth_events,
        redacts: event.redacts,
        sticky_ms: event.sticky_ms,
    };
    finish(env, rules, fields, links, event.content)
}

/// Makes a create event, which has no predecessors: `room_id` is absent in room version 12.
pub(crate) fn build_create(
    env: &Env,
    rules: &RoomVersionRules,
    room_id: Option<ruma::OwnedRoomId>,
    event: NewEvent,
) -> Result<Built, RoomError> {
    let links = Links {
        prev_events: "[]".to_owned(),
        auth_events: "[]".to_owned(),
    };
    let fields = Fields {
        event_id: first_event_id(env, rules),
        room_id,
        sender: event.sender,
        event_type: event.event_type,
        state_key: event.state_key,
        origin_server_ts: timestamp(env.now_ms())?,
        depth: 1,
        prev_events: Vec::new(),
        auth_events: Vec::new(),
        redacts: None,
        sticky_ms: None,
    };
    finish(env, rules, fields, links, event.content)
}

/// The links of an event as JSON, in the form of the room version.
struct Links {
    prev_events: String,
    auth_events: String,
}

/// What stands in an event before it is whole: without `signatures` it is signed, without `hashes` it is hashed.
#[derive(Clone, Copy)]
struct Parts<'a> {
    event_type: &'a str,
    content: &'a str,
    hashes: Option<&'a str>,
    signatures: Option<&'a str>,
    /// Redaction drops `redacts` where it stands beside the content, and that the event is sticky.
    is_whole: bool,
}

/// Hashes, signs and writes the event. Everything but the content is written from the fields, in the order of canonical JSON.
fn finish(
    env: &Env,
    rules: &RoomVersionRules,
    mut fields: Fields,
    links: Links,
    mut content: Canonical,
) -> Result<Built, RoomError> {
    if let Some(redacts) = &fields.redacts
        && rules.redaction.content_field_redacts
    {
        content.set_string("redacts", redacts.as_str());
    }
    let event_type = fields.event_type.to_string();
    let text = content.to_text();
    let whole = Parts {
        event_type: &event_type,
        content: &text,
        hashes: None,
        signatures: None,
        is_whole: true,
    };
    let (hashed, _) = write(rules, &fields, &links, whole);
    let hash = base64_standard(&digest(hashed.as_bytes()));
    let hashes = format!(r#"{{"sha256":"{hash}"}}"#);

    // What is signed is also what the reference hash covers: the redacted event without signatures.
    redact_content_in_place(&mut content.object, &rules.redaction, &event_type);
    let redacted_content = content.to_text();
    let redacted = Parts {
        content: &redacted_content,
        hashes: Some(&hashes),
        is_whole: false,
        ..whole
    };
    let (redacted, _) = write(rules, &fields, &links, redacted);
    let signature = env.identity.signer.sign(redacted.as_bytes());
    let signatures = format!(
        r#"{{"{}":{{"{}":"{}"}}}}"#,
        env.server_name(),
        signature.id(),
        signature.base64()
    );
    if rules.event_id_format != EventIdFormatVersion::V1 {
        fields.event_id = hashed_event_id(&digest(redacted.as_bytes()), rules);
    }
    let whole = Parts {
        hashes: Some(&hashes),
        signatures: Some(&signatures),
        ..whole
    };
    let (json, span) = write(rules, &fields, &links, whole);
    check_sizes(&fields, &event_type, json.len())?;
    Ok(Built {
        pdu: Pdu::made(fields, Bytes::from(json), span),
    })
}

/// Writes the event and tells where its content stands.
fn write(
    rules: &RoomVersionRules,
    fields: &Fields,
    links: &Links,
    parts: Parts<'_>,
) -> (String, std::ops::Range<usize>) {
    use std::fmt::Write as _;
    let mut json = String::with_capacity(parts.content.len() + 1_024);
    let text = |json: &mut String, key: &str, value: Option<&str>| {
        if let Some(value) = value {
            json.push_str(key);
            push_json_string(json, value);
        }
    };
    let is_given_id = rules.event_id_format == EventIdFormatVersion::V1;
    let redacts = fields.redacts.as_ref();
    let redacts = redacts.filter(|_| parts.is_whole && !rules.redaction.content_field_redacts);
    let _ = write!(json, r#"{{"auth_events":{},"content":"#, links.auth_events);
    let start = json.len();
    json.push_str(parts.content);
    let span = start..json.len();
    let _ = write!(json, r#","depth":{}"#, fields.depth);
    let event_id = is_given_id.then_some(fields.event_id.as_str());
    text(&mut json, r#","event_id":"#, event_id);
    if let Some(hashes) = parts.hashes {
        let _ = write!(json, r#","hashes":{hashes}"#);
    }
    if let Some(duration_ms) = fields.sticky_ms.filter(|_| parts.is_whole) {
        let _ = write!(json, r#","msc4354_sticky":{{"duration_ms":{duration_ms}}}"#);
    }
    let _ = write!(
        json,
        r#","origin_server_ts":{},"prev_events":{}"#,
        fields.origin_server_ts.0, links.prev_events
    );
    text(&mut json, r#","redacts":"#, redacts.map(|id| id.as_str()));
    let room_id = fields.room_id.as_ref().map(|id| id.as_str());
    text(&mut json, r#","room_id":"#, room_id);
    text(&mut json, r#","sender":"#, Some(fields.sender.as_str()));
    if let Some(signatures) = parts.signatures {
        let _ = write!(json, r#","signatures":{signatures}"#);
    }
    text(&mut json, r#","state_key":"#, fields.state_key.as_deref());
    text(&mut json, r#","type":"#, Some(parts.event_type));
    json.push('}');
    (json, span)
}

/// A list of links. In room versions 1 and 2 each has the hash of the event beside its ID.
fn links_text(room: &Room, rules: &RoomVersionRules, event_ids: &[OwnedEventId]) -> String {
    let with_hashes = rules.events_reference_format == EventsReferenceFormatVersion::V1;
    let mut json = "[".to_owned();
    for event_id in event_ids {
        if json.len() > 1 {
            json.push(',');
        }
        if with_hashes {
            json.push('[');
            push_json_string(&mut json, event_id.as_str());
            json.push(',');
            json.push_str(&reference_hashes(room, event_id, rules));
            json.push(']');
        } else {
            push_json_string(&mut json, event_id.as_str());
        }
    }
    json.push(']');
    json
}

fn check_sizes(fields: &Fields, event_type: &str, pdu_bytes: usize) -> Result<(), RoomError> {
    let lengths = [
        event_type.len(),
        fields.state_key.as_ref().map_or(0, String::len),
        fields.sender.as_str().len(),
        fields.room_id.as_ref().map_or(0, |id| id.as_str().len()),
        fields.event_id.as_str().len(),
    ];
    if pdu_bytes > PDU_BYTES_MAX || lengths.iter().any(|length| *length > FIELD_BYTES_MAX) {
        return Err(RoomError::TooLarge);
    }
    Ok(())
}

/// The room's ends that a new event follows: the deepest, when there are too many.
fn newest_ends(room: &Room) -> Vec<&Extremity> {
    let mut ends: Vec<_> = room.extremities.iter().map(AsRef::as_ref).collect();
    if ends.len() > PREV_EVENTS_MAX {
        ends.sort_by(|a, b| {
            b.depth
                .cmp(&a.depth)
                .then_with(|| a.event_id.cmp(&b.event_id))
        });
        ends.truncate(PREV_EVENTS_MAX);
    }
    ends
}

/// The hashes beside a link of room versions 1 and 2, as JSON. Empty for an event that is not at hand: nobody may rely on them.
fn reference_hashes(room: &Room, event_id: &EventId, rules: &RoomVersionRules) -> String {
    room.event_at_hand(event_id)
        .and_then(|event| std::str::from_utf8(event.pdu.json()).ok())
        .and_then(|text| reference_hash(text, rules).ok())
        .map_or_else(
            || "{}".to_owned(),
            |hash| format!(r#"{{"sha256":"{}"}}"#, base64_standard(&hash)),
        )
}

/// The reference hash of an event (server-server API, "Calculating the reference hash for an event").
pub(crate) fn reference_hash(text: &str, rules: &RoomVersionRules) -> Result<[u8; 32], RoomError> {
    let event = Canonical::event(text, rules)?;
    let redacted = RedactingSerializer::new()
        .rules(&rules.redaction)
        .custom_redacted_root_fields(&["signatures", "unsigned"])
        .serialize(&event.object)
        .map_err(|error| RoomError::BadJson(error.to_string()))?;
    Ok(digest(event.finish(redacted).as_bytes()))
}

/// The event ID of room version 3 and later.
pub(crate) fn hashed_event_id(hash: &[u8], rules: &RoomVersionRules) -> OwnedEventId {
    use base64::{
        Engine as _,
        engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
    };
    let text = match rules.event_id_format {
        EventIdFormatVersion::V1 | EventIdFormatVersion::V2 => STANDARD_NO_PAD.encode(hash),
        _ => URL_SAFE_NO_PAD.encode(hash),
    };
    EventId::parse(format!("${text}")).expect("a hash in base64 is a valid event ID")
}

/// The event ID before the event is hashed: given in room versions 1 and 2, otherwise replaced by the hash.
fn first_event_id(env: &Env, rules: &RoomVersionRules) -> OwnedEventId {
    let text = if rules.event_id_format == EventIdFormatVersion::V1 {
        format!("${}:{}", env.random_string(18), env.server_name())
    } else {
        "$unhashed".to_owned()
    };
    EventId::parse(text).expect("letters and a server name are a valid event ID")
}

fn base64_standard(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD_NO_PAD.encode(bytes)
}

fn timestamp(ms: u64) -> Result<MilliSecondsSinceUnixEpoch, RoomError> {
    UInt::try_from(ms)
        .map(MilliSecondsSinceUnixEpoch)
        .map_err(|_| RoomError::InvalidParam("the time is out of range".to_owned()))
}

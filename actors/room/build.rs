//! Makes PDUs for local users: links, hash, signature, event ID. The hot path of every send.

use bytes::Bytes;
use playhouse_schema::record::room::{EventRecord, Placement, Transaction, Verdict};
use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, EventId, Int, MilliSecondsSinceUnixEpoch,
    OwnedEventId, OwnedUserId, UInt,
    canonical_json::RedactingSerializer,
    events::TimelineEventType,
    room_version_rules::{EventIdFormatVersion, EventsReferenceFormatVersion, RoomVersionRules},
    signatures::KeyPair as _,
};
use sha2::{Digest as _, Sha256};

use super::{
    Room, RoomError, auth,
    canonical::Canonical,
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
    let with_hashes = rules.events_reference_format == EventsReferenceFormatVersion::V1;
    let link = |event_id: &OwnedEventId| {
        let id = CanonicalJsonValue::String(event_id.to_string());
        if with_hashes {
            let hashes = reference_hashes(room, event_id, rules);
            CanonicalJsonValue::Array(vec![id, CanonicalJsonValue::Object(hashes)])
        } else {
            id
        }
    };
    let links = Links {
        prev_events: CanonicalJsonValue::Array(prev_events.iter().map(link).collect()),
        auth_events: CanonicalJsonValue::Array(auth_events.iter().map(link).collect()),
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
        prev_events: CanonicalJsonValue::Array(Vec::new()),
        auth_events: CanonicalJsonValue::Array(Vec::new()),
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
    };
    finish(env, rules, fields, links, event.content)
}

/// The links of an event, in the form of the room version.
struct Links {
    prev_events: CanonicalJsonValue,
    auth_events: CanonicalJsonValue,
}

/// Hashes, signs and writes the event.
fn finish(
    env: &Env,
    rules: &RoomVersionRules,
    mut fields: Fields,
    links: Links,
    mut content: Canonical,
) -> Result<Built, RoomError> {
    let is_given_id = rules.event_id_format == EventIdFormatVersion::V1;
    let tree = std::mem::take(&mut content.object);
    let mut object = object_of(&fields, links, tree, rules)?;
    if is_given_id {
        set(&mut object, "event_id", fields.event_id.as_str());
    }
    let canonical = content;
    let hashed = serialize(RedactingSerializer::new(), &object)?;
    let hash = base64_standard(&Sha256::digest(canonical.finish(hashed).as_bytes()));
    object.insert("hashes".to_owned(), nested([("sha256", hash)]));

    // What is signed is also what the reference hash covers: the redacted event without signatures.
    let redacted = serialize(RedactingSerializer::new().rules(&rules.redaction), &object)?;
    let redacted = canonical.finish(redacted);
    let signature = env.identity.key_pair.sign(redacted.as_bytes());
    let signatures = nested([(signature.id().as_str(), signature.base64())]);
    object.insert(
        "signatures".to_owned(),
        CanonicalJsonValue::Object([(env.server_name().to_string(), signatures)].into()),
    );
    if !is_given_id {
        fields.event_id = hashed_event_id(&Sha256::digest(redacted.as_bytes()), rules);
    }
    let (json, span) = write(&object, &canonical)?;
    check_sizes(&fields, json.len())?;
    Ok(Built {
        pdu: Pdu::made(fields, Bytes::from(json), span),
    })
}

/// The event without hashes and signatures.
fn object_of(
    fields: &Fields,
    links: Links,
    mut content: CanonicalJsonObject,
    rules: &RoomVersionRules,
) -> Result<CanonicalJsonObject, RoomError> {
    let mut object = CanonicalJsonObject::new();
    object.insert("auth_events".to_owned(), links.auth_events);
    object.insert("prev_events".to_owned(), links.prev_events);
    object.insert("depth".to_owned(), integer(fields.depth)?);
    let origin_server_ts = integer(u64::from(fields.origin_server_ts.0))?;
    object.insert("origin_server_ts".to_owned(), origin_server_ts);
    if let Some(redacts) = &fields.redacts {
        let in_content = rules.redaction.content_field_redacts;
        let place = if in_content {
            &mut content
        } else {
            &mut object
        };
        set(place, "redacts", redacts.as_str());
    }
    object.insert("content".to_owned(), CanonicalJsonValue::Object(content));
    if let Some(room_id) = &fields.room_id {
        set(&mut object, "room_id", room_id.as_str());
    }
    set(&mut object, "sender", fields.sender.as_str());
    set(&mut object, "type", &fields.event_type.to_string());
    if let Some(state_key) = &fields.state_key {
        set(&mut object, "state_key", state_key);
    }
    Ok(object)
}

/// Writes the event and tells where its content stands.
fn write(
    object: &CanonicalJsonObject,
    canonical: &Canonical,
) -> Result<(String, std::ops::Range<usize>), RoomError> {
    let mut json = String::with_capacity(1_024);
    let mut span = 0..0;
    for (key, value) in object {
        json.push(if json.is_empty() { '{' } else { ',' });
        super::event::push_json_string(&mut json, key);
        json.push(':');
        let start = json.len();
        let text = serde_json::to_string(value).map_err(unwritable)?;
        json.push_str(&canonical.finish(text));
        if key == "content" {
            span = start..json.len();
        }
    }
    json.push('}');
    Ok((json, span))
}

fn check_sizes(fields: &Fields, pdu_bytes: usize) -> Result<(), RoomError> {
    let lengths = [
        fields.event_type.to_string().len(),
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
    let mut ends: Vec<_> = room.extremities.iter().collect();
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

/// The hashes beside a link of room versions 1 and 2. Empty for an event that is not at hand: nobody may rely on them.
fn reference_hashes(
    room: &Room,
    event_id: &EventId,
    rules: &RoomVersionRules,
) -> CanonicalJsonObject {
    let hash = room
        .event_at_hand(event_id)
        .and_then(|event| std::str::from_utf8(event.pdu.json()).ok())
        .and_then(|text| reference_hash(text, rules).ok());
    hash.map(|hash| {
        [(
            "sha256".to_owned(),
            CanonicalJsonValue::String(base64_standard(&hash)),
        )]
        .into()
    })
    .unwrap_or_default()
}

/// The reference hash of an event (server-server API, "Calculating the reference hash for an event").
pub(crate) fn reference_hash(text: &str, rules: &RoomVersionRules) -> Result<[u8; 32], RoomError> {
    let event = if rules.authorization.strict_canonical_json {
        Canonical::strict(text)?
    } else {
        Canonical::received(text)?
    };
    let redacted = serialize(
        RedactingSerializer::new().rules(&rules.redaction),
        &event.object,
    )?;
    Ok(Sha256::digest(event.finish(redacted).as_bytes()).into())
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

/// Serialises without what no hash and no signature covers; without `hashes` too while there are none.
fn serialize(
    serializer: RedactingSerializer<'_>,
    object: &CanonicalJsonObject,
) -> Result<String, RoomError> {
    serializer
        .custom_redacted_root_fields(&["signatures", "unsigned"])
        .serialize(object)
        .map_err(unwritable)
}

fn unwritable(error: serde_json::Error) -> RoomError {
    RoomError::BadJson(error.to_string())
}

fn base64_standard(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD_NO_PAD.encode(bytes)
}

fn set(object: &mut CanonicalJsonObject, key: &str, value: &str) {
    object.insert(key.to_owned(), CanonicalJsonValue::String(value.to_owned()));
}

fn nested<const N: usize>(entries: [(&str, String); N]) -> CanonicalJsonValue {
    CanonicalJsonValue::Object(
        entries
            .into_iter()
            .map(|(key, value)| (key.to_owned(), CanonicalJsonValue::String(value)))
            .collect(),
    )
}

fn integer(value: u64) -> Result<CanonicalJsonValue, RoomError> {
    Int::try_from(value)
        .map(CanonicalJsonValue::Integer)
        .map_err(|_| RoomError::BadJson("a number is too large for JSON".to_owned()))
}

fn timestamp(ms: u64) -> Result<MilliSecondsSinceUnixEpoch, RoomError> {
    UInt::try_from(ms)
        .map(MilliSecondsSinceUnixEpoch)
        .map_err(|_| RoomError::InvalidParam("the time is out of range".to_owned()))
}

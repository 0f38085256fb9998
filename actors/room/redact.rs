//! Redactions: sending them, and taking the content of what they redact out of the log.

use bytes::Bytes;
use playhouse_schema::{
    address::{Entity, Sequence},
    port::StoredRecord,
    record::{
        codec::Record as _,
        room::{EventRecord, RoomRecord, Verdict},
    },
};
use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, Int, OwnedEventId, RoomId, UserId,
    canonical_json::{RedactedBecause, redact_in_place},
    events::TimelineEventType,
    room_version_rules::RoomVersionRules,
    state_res::events::RoomPowerLevelsIntField,
};

use serde::{Deserialize, Serialize};

use super::{
    Room, RoomError, RoomReply,
    auth::power::Power,
    build::NewEvent,
    canonical::Canonical,
    event::RoomEvent,
    message::SendEvent,
    pdu::Pdu,
    policy,
    send_event::{make, new_event, repeated},
    state::StateMap,
};
use crate::{env::Env, kernel::Decision};

/// A redaction whose target may have left the room's memory.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Redact {
    /// The redaction: type `m.room.redaction`, with `redacts`.
    pub event: SendEvent,
    /// The event to redact as the log has it ([`read_target`]); `None` when the log does not know it.
    pub target: Option<RedactionTarget>,
}

/// Where the event to redact was looked for.
pub(super) enum Searched {
    /// In the room's memory only.
    Memory,
    /// In the log, too; this was found there.
    Log(Option<Box<RedactionTarget>>),
}

/// A recorded event that is to be redacted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RedactionTarget {
    /// Its number among the room's records.
    pub sequence: Sequence,
    /// The record.
    #[serde(with = "super::carried::keyed")]
    pub record: EventRecord,
}

/// What a caller found in the log under the event ID to redact, for [`Redact::target`]; `None` when it is no event of this room.
pub fn read_target(room_id: &RoomId, stored: &StoredRecord) -> Option<RedactionTarget> {
    if stored.entity != Entity::room(room_id.as_str()) {
        return None;
    }
    match RoomRecord::decode(stored).ok()?? {
        RoomRecord::Event(record) => Some(RedactionTarget {
            sequence: stored.sequence,
            record,
        }),
        _ => None,
    }
}

/// Judges [`Redact`].
pub(super) fn decide(room: &Room, env: &Env, redact: Redact) -> Result<Decision<Room>, RoomError> {
    let Redact { event, target } = redact;
    if event.event_type != TimelineEventType::RoomRedaction || event.state_key.is_some() {
        return Err(RoomError::BadJson("this is no redaction".to_owned()));
    }
    if let Some(decision) = repeated(room, event.transaction.as_ref())? {
        return Ok(decision);
    }
    self::redact(room, env, event, Searched::Log(target.map(Box::new)))
}

/// Sends a redaction. An unknown target is no hindrance: other servers may know it, and here the redaction waits for it.
pub(super) fn redact(
    room: &Room,
    env: &Env,
    mut send: SendEvent,
    searched: Searched,
) -> Result<Decision<Room>, RoomError> {
    let transaction = send.transaction.take();
    let mut event = new_event(room, env, send)?;
    name_target(&mut event)?;
    let (brought, is_all_searched) = match searched {
        Searched::Memory => (None, false),
        Searched::Log(target) => (target.map(|target| *target), true),
    };
    let target = event
        .redacts
        .as_ref()
        .and_then(|event_id| find_target(room, event_id, brought));
    if let Some(target) = &target {
        check_sender(room, &event.sender, &target.pdu)?;
    }
    let built = make(room, env, event)?;
    policy::check(room, &built, transaction.as_ref())?;
    let mut record = built.record(room, transaction);
    let mut decision = Decision::new(Vec::new(), RoomReply::Sent(built.pdu.event_id.clone()));
    match target {
        Some(target) => decision.erasures.extend(erasure(room, &built.pdu, &target)),
        None if is_all_searched => record.verdict = Verdict::Held,
        None => {}
    }
    decision.records.push(RoomRecord::Event(record));
    Ok(decision)
}

/// The redacted event's ID, from wherever the client has put it.
fn name_target(event: &mut NewEvent) -> Result<(), RoomError> {
    if event.redacts.is_none() {
        event.redacts = event
            .content
            .string("redacts")
            .and_then(|event_id| event_id.try_into().ok());
    }
    if event.redacts.is_none() {
        return Err(RoomError::BadJson(
            "a redaction must say what it redacts".to_owned(),
        ));
    }
    Ok(())
}

fn find_target(
    room: &Room,
    event_id: &ruma::EventId,
    brought: Option<RedactionTarget>,
) -> Option<RoomEvent> {
    // What is in memory is newer than what the caller has read.
    if let Some(event) = room.recent_event(event_id) {
        return RoomEvent::from_record(
            event.sequence,
            event.position(),
            &event.to_record(event.pdu.json().to_vec()),
        );
    }
    if let Some(brought) = brought {
        let event = RoomEvent::from_record(brought.sequence, 0, &brought.record)?;
        // An event that was rejected is waited for as if it had not come.
        let is_valid = !matches!(event.verdict, Verdict::Rejected(_));
        return (event.pdu.event_id == event_id && is_valid).then_some(event);
    }
    let event = room.event_at_hand(event_id)?;
    RoomEvent::from_record(
        event.sequence,
        event.position(),
        &event.to_record(event.pdu.json().to_vec()),
    )
}

/// What this server demands of its own users beyond the authorisation rules: redact what is yours, or have the power.
fn check_sender(room: &Room, sender: &UserId, target: &Pdu) -> Result<(), RoomError> {
    if is_protected(target) {
        return Err(RoomError::Forbidden(format!(
            "an event of type {} cannot be redacted",
            target.event_type
        )));
    }
    if target.sender == sender || Power::of(room)?.allows(sender, RoomPowerLevelsIntField::Redact) {
        return Ok(());
    }
    Err(RoomError::Forbidden(
        "redacting another user's event needs the power to redact".to_owned(),
    ))
}

/// Without its create event a room cannot be read, and without its server ACL it is open to whom it locked out.
fn is_protected(target: &Pdu) -> bool {
    matches!(
        target.event_type,
        TimelineEventType::RoomCreate | TimelineEventType::RoomServerAcl
    )
}

/// What a redaction that takes effect puts in the place of its target: the target's sequence and its new record.
fn erasure(room: &Room, redaction: &Pdu, target: &RoomEvent) -> Option<(Sequence, Bytes)> {
    let pruned = pruned(room.rules().ok()?, redaction, &target.pdu)?;
    let record: EventRecord = target.to_record(pruned.json().to_vec());
    Some((target.sequence, RoomRecord::Event(record).encode()))
}

/// What a redaction redacts: from room version 11 on its content says so, before that the event itself. What stands in the other place is nothing to other
/// servers, so it is nothing here.
pub(crate) fn target_of(rules: &RoomVersionRules, redaction: &Pdu) -> Option<OwnedEventId> {
    #[derive(Deserialize)]
    struct Named {
        redacts: Option<OwnedEventId>,
    }
    if redaction.event_type != TimelineEventType::RoomRedaction {
        return None;
    }
    let text = if rules.redaction.content_field_redacts {
        redaction.content_json()
    } else {
        std::str::from_utf8(redaction.json()).ok()?
    };
    serde_json::from_str::<Named>(text).ok()?.redacts
}

/// Whether a redaction that passed all checks takes effect on an event whatever power its sender has: both come from one server (room version 3, "Handling
/// redactions"), or the authorisation rules have looked at its target already (room versions 1 and 2).
pub(crate) fn needs_no_power(rules: &RoomVersionRules, redaction: &Pdu, target: &Pdu) -> bool {
    rules.authorization.special_case_room_redaction
        || redaction.sender.server_name() == target.sender.server_name()
}

/// Whether the sender of a redaction has the power to redact what others say, by the state before the redaction: what comes to be known of the target later
/// changes nothing about that.
pub(crate) fn has_power(rules: &RoomVersionRules, before: &StateMap, redaction: &Pdu) -> bool {
    Power::of_state(rules, before)
        .is_ok_and(|power| power.allows(&redaction.sender, RoomPowerLevelsIntField::Redact))
}

/// The target by the redaction rules of the room version, with the redaction as clients see it in `unsigned.redacted_because`. `None` when nothing changes:
/// what was redacted before stays as it is, and without its create event the room could not be read.
pub(crate) fn pruned(rules: &RoomVersionRules, redaction: &Pdu, target: &Pdu) -> Option<Pdu> {
    // What other servers let happen to their list of servers happens here too: all must know the same one.
    if target.event_type == TimelineEventType::RoomCreate {
        return None;
    }
    let text = std::str::from_utf8(target.json()).ok()?;
    let because = client_form(redaction);
    let mut canonical = Canonical::received_beside(text, &because).ok()?;
    let is_pruned = canonical
        .object
        .get("unsigned")
        .and_then(|unsigned| unsigned.as_object())
        .is_some_and(|unsigned| unsigned.contains_key("redacted_because"));
    if is_pruned {
        return None;
    }
    redact_in_place(
        &mut canonical.object,
        &rules.redaction,
        Some(RedactedBecause::from_json(because)),
    )
    .ok()?;
    // It takes the place of what is there for good.
    Pdu::parse(target.event_id.clone(), canonical.to_text().into()).ok()
}

/// An event as it would be without its content: how somebody who ignores its sender sees it where it cannot be left out.
pub(super) fn as_if_redacted(room: &Room, event: &RoomEvent) -> Option<RoomEvent> {
    let rules = room.rules().ok()?;
    let text = std::str::from_utf8(event.pdu.json()).ok()?;
    let mut canonical = Canonical::received(text).ok()?;
    redact_in_place(&mut canonical.object, &rules.redaction, None).ok()?;
    let record = event.to_record(canonical.to_text().into_bytes());
    RoomEvent::from_record(event.sequence, event.position(), &record)
}

/// The redaction as clients see it, with `redacts` in both places whatever the room version.
fn client_form(redaction: &Pdu) -> CanonicalJsonObject {
    // Numbers that only old room versions tolerate are not worth a second copy.
    let mut content = Canonical::strict(redaction.content_json()).unwrap_or_default();
    let mut form = Canonical::default();
    if let Some(redacts) = &redaction.redacts {
        content.set_string("redacts", redacts.as_str());
        form.set_string("redacts", redacts.as_str());
    }
    let origin_server_ts = Int::from(redaction.origin_server_ts.0);
    let rest = [
        ("content", CanonicalJsonValue::Object(content.object)),
        (
            "origin_server_ts",
            CanonicalJsonValue::Integer(origin_server_ts),
        ),
    ];
    form.object
        .extend(rest.map(|(key, value)| (key.to_owned(), value)));
    form.set_string("event_id", redaction.event_id.as_str());
    form.set_string("sender", redaction.sender.as_str());
    form.set_string("type", redaction.event_type.to_string());
    if let Some(room_id) = &redaction.room_id {
        form.set_string("room_id", room_id.as_str());
    }
    form.object
}

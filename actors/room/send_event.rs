//! Sending an event: messages, state, and the events that other commands make.

use playhouse_schema::record::room::{RoomRecord, Transaction};
use ruma::{
    OwnedEventId, OwnedUserId,
    events::{TimelineEventType, room::member::MembershipState},
};

use super::{
    Room, RoomError, RoomReply, auth,
    build::{self, Built, NewEvent},
    canonical::Canonical,
    membership,
    message::{JsonText, SendEvent},
    policy, redact, sticky,
};
use crate::{env::Env, kernel::Decision};

impl SendEvent {
    /// An event that is no state, sent now and by no guest. What else there is to say of it is set on it.
    pub fn new(sender: OwnedUserId, event_type: TimelineEventType, content: JsonText) -> Self {
        Self {
            sender,
            event_type,
            state_key: None,
            content,
            redacts: None,
            transaction: None,
            origin_server_ts: None,
            sticky_ms: None,
            guest: false,
        }
    }

    /// The same as a state event.
    pub fn with_state_key(self, state_key: impl Into<String>) -> Self {
        Self {
            state_key: Some(state_key.into()),
            ..self
        }
    }
}

/// Judges [`SendEvent`]. Redactions find their target only in memory here; [`super::RoomCommand::Redact`] brings it along.
pub(super) fn decide(
    room: &Room,
    env: &Env,
    mut send: SendEvent,
) -> Result<Decision<Room>, RoomError> {
    if let Some(decision) = repeated(room, send.transaction.as_ref())? {
        return Ok(decision);
    }
    if send.event_type == TimelineEventType::RoomRedaction && send.state_key.is_none() {
        return redact::redact(room, env, send, redact::Searched::Memory);
    }
    let transaction = send.transaction.take();
    let guest = send.guest;
    let mut event = new_event(room, env, send)?;
    if event.event_type == TimelineEventType::RoomMember {
        membership::check_custom(room, &mut event, guest)?;
    }
    if event.event_type == TimelineEventType::RoomCreate {
        return Err(RoomError::Forbidden(
            "a room is created only once".to_owned(),
        ));
    }
    submit(room, env, event, transaction)
}

/// The answer to a transaction that was carried out, or is in flight.
pub(super) fn repeated(
    room: &Room,
    transaction: Option<&Transaction>,
) -> Result<Option<Decision<Room>>, RoomError> {
    if !room.exists() {
        return Err(RoomError::UnknownRoom);
    }
    let event_id = transaction.and_then(|transaction| room.transactions.event_of(transaction));
    Ok(event_id.map(|event_id| Decision::unchanged(RoomReply::Sent(event_id.to_owned()))))
}

/// The command's event, with its content in canonical form.
pub(super) fn new_event(room: &Room, env: &Env, send: SendEvent) -> Result<NewEvent, RoomError> {
    let is_strict = room.rules()?.authorization.strict_canonical_json;
    let is_redaction = send.event_type == TimelineEventType::RoomRedaction;
    Ok(NewEvent {
        content: Canonical::parse(&send.content, is_strict, env)?,
        sender: send.sender,
        event_type: send.event_type,
        state_key: send.state_key,
        redacts: send.redacts.filter(|_| is_redaction),
        origin_server_ts: send.origin_server_ts,
        sticky_ms: send.sticky_ms.map(sticky::bounded),
    })
}

/// Makes, judges and records one event. State that would change nothing is answered with the event in force.
pub(super) fn submit(
    room: &Room,
    env: &Env,
    event: NewEvent,
    transaction: Option<Transaction>,
) -> Result<Decision<Room>, RoomError> {
    if let Some(event_id) = same_in_force(room, &event) {
        return Ok(Decision::unchanged(RoomReply::Sent(event_id)));
    }
    let built = make(room, env, event)?;
    policy::check(room, &built, transaction.as_ref())?;
    let record = RoomRecord::Event(built.record(room, transaction));
    let reply = RoomReply::Sent(built.pdu.event_id);
    Ok(Decision::new(vec![record], reply))
}

/// Makes and judges one event.
pub(super) fn make(room: &Room, env: &Env, event: NewEvent) -> Result<Built, RoomError> {
    let built = build::build(room, env, event)?;
    if !room.allowed.covers(&built.pdu) {
        auth::authorise(room, &built.pdu)?;
    }
    Ok(built)
}

/// The state event in force when the sender has set just this content before and may still speak.
fn same_in_force(room: &Room, event: &NewEvent) -> Option<OwnedEventId> {
    let state_key = event.state_key.as_ref()?;
    let key = (event.event_type.clone(), state_key.clone());
    let current = room.current.get(&key)?;
    if current.pdu.sender != event.sender {
        return None;
    }
    let is_own_member =
        event.event_type == TimelineEventType::RoomMember && event.sender == *state_key;
    if !is_own_member && room.membership(&event.sender) != Some(MembershipState::Join) {
        return None;
    }
    let is_same = Canonical::received(current.pdu.content_json())
        .is_ok_and(|content| content.to_text() == event.content.to_text());
    is_same.then(|| current.pdu.event_id.clone())
}

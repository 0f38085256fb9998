//! `PUT /_matrix/client/*/rooms/{roomId}/send/{eventType}/{txnId}`

use std::sync::Arc;

use playhouse_actors::room::message::SendEvent;
use ruma::{OwnedEventId, RoomId, api::error::ErrorCode, serde::JsonObject};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    client::{
        delayed_events, membership::permission, page, parse_id, query,
        redact::redact_event::must_be_own_event, text_body, transaction,
    },
    edge::{App, Arguments, Failure, RawJson, Session},
    third_party::Check,
};

/// No event is larger.
const EVENT_BYTES_MAX: usize = 65_535;

/// Sends a message; a repeat with the same transaction ID is answered with the first one's event.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    arguments: Arguments,
) -> Result<RawJson, Failure> {
    let [room_id, event_type, transaction_id] = arguments.path.as_slice() else {
        return Err(Failure::internal("the path has other variables"));
    };
    let place = (
        room_id.as_str(),
        event_type.as_str(),
        Some(transaction_id.as_str()),
    );
    send(&app, caller, place, &arguments).await
}

/// Sends a message to a room, of a type, in a transaction if there is one.
pub(crate) async fn send(
    app: &App,
    caller: Session,
    (room_id, event_type, transaction_id): (&str, &str, Option<&str>),
    arguments: &Arguments,
) -> Result<RawJson, Failure> {
    let room_id: &RoomId = parse_id(room_id)?;
    let what = (event_type, None, &*arguments.body);
    may_send(app, &caller, room_id, what).await?;
    if let Some(delay) = delayed_events::delay(arguments)? {
        let transaction =
            transaction_id.map(|id| transaction(&caller, ("send", event_type), id).transaction_id);
        let what = (delay, &arguments.body, transaction);
        let place = (room_id, (event_type, None));
        return delayed_events::schedule(app, &caller, place, what).await;
    }
    let content = text_body(&arguments.body)?;
    if caller.suspended {
        may_send_suspended(app, &caller, room_id, (event_type, &content)).await?;
    }
    if caller.shadow_banned {
        return pretend(app, &content);
    }
    let event = SendEvent {
        transaction: transaction_id.map(|id| transaction(&caller, ("send", event_type), id)),
        origin_server_ts: query::timestamp(&caller, arguments.query.as_deref())?,
        sticky_ms: query::sticky_ms(arguments.query.as_deref())?,
        guest: caller.guest,
        ..SendEvent::new(caller.known.user_id, event_type.into(), content)
    };
    let event_id = app.house.send_event(room_id, event).await?;
    Ok(page::Object::new()
        .text("event_id", event_id.as_str())
        .finish())
}

/// Whether what the operator asks calls this spam: an event of a type, with a state key or none, and a content.
pub(crate) async fn may_send(
    app: &App,
    caller: &Session,
    room_id: &RoomId,
    (event_type, state_key, content): (&str, Option<&str>, &[u8]),
) -> Result<(), Failure> {
    permission::ask(app, caller, Check::Send, || {
        json!({
            "user_id": caller.user_id,
            "room_id": room_id,
            "type": event_type,
            "state_key": state_key,
            // What is no JSON is refused when it is sent.
            "content": serde_json::from_slice::<Value>(content).unwrap_or_default(),
        })
    })
    .await
}

/// What somebody is told whose events reach nobody. What is no event at all is refused as everybody's is.
pub(crate) fn pretend(app: &App, content: &str) -> Result<RawJson, Failure> {
    let _: JsonObject = serde_json::from_str(content)?;
    if content.len() > EVENT_BYTES_MAX {
        return Err(Failure::new(ErrorCode::TooLarge, "event is too large"));
    }
    Ok(page::Object::new()
        .text("event_id", &app.house.pretended_event_id())
        .finish())
}

/// Somebody who is suspended may send nothing but redactions of what is their own.
async fn may_send_suspended(
    app: &App,
    caller: &Session,
    room_id: &RoomId,
    (event_type, content): (&str, &str),
) -> Result<(), Failure> {
    #[derive(Deserialize)]
    struct Redaction {
        redacts: Option<OwnedEventId>,
    }
    if event_type != "m.room.redaction" {
        return caller.not_suspended();
    }
    let redaction: Redaction = serde_json::from_str(content)?;
    must_be_own_event(app, caller, room_id, redaction.redacts.as_deref()).await
}

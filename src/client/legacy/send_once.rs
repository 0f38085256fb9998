//! `POST /_matrix/client/*/rooms/{roomId}/send/{eventType}` and `POST …/redact/{eventId}`: without a transaction, so that a repeat is one more event.

use std::sync::Arc;

use playhouse_actors::room::message::SendEvent;
use ruma::{EventId, RoomId, events::TimelineEventType};
use serde_json::{Value, json};

use crate::{
    client::{
        message::send_message_event, page::Object, parse_id,
        redact::redact_event::must_be_own_event,
    },
    edge::{App, Arguments, Failure, RawJson, Session},
};

/// Where messages are sent to.
pub(crate) mod message {
    use ruma::{
        api::{auth_scheme::AccessToken, request, response},
        metadata,
    };

    metadata! {
        method: POST,
        rate_limited: true,
        authentication: AccessToken,
        history: {
            1.0 => "/_matrix/client/r0/rooms/{room_id}/send/{event_type}",
            1.1 => "/_matrix/client/v3/rooms/{room_id}/send/{event_type}",
        }
    }

    /// Read by the handler.
    #[request]
    #[expect(dead_code, reason = "the handler reads the path itself")]
    pub(crate) struct Request {
        #[ruma_api(path)]
        room_id: String,
        #[ruma_api(path)]
        event_type: String,
    }

    /// Written by the handler.
    #[response]
    pub(crate) struct Response {}
}

/// Where redactions are sent to.
pub(crate) mod redaction {
    use ruma::{
        api::{auth_scheme::AccessToken, request, response},
        metadata,
    };

    metadata! {
        method: POST,
        rate_limited: true,
        authentication: AccessToken,
        history: {
            1.0 => "/_matrix/client/r0/rooms/{room_id}/redact/{event_id}",
            1.1 => "/_matrix/client/v3/rooms/{room_id}/redact/{event_id}",
        }
    }

    /// Read by the handler.
    #[request]
    #[expect(dead_code, reason = "the handler reads the path itself")]
    pub(crate) struct Request {
        #[ruma_api(path)]
        room_id: String,
        #[ruma_api(path)]
        event_id: String,
    }

    /// Written by the handler.
    #[response]
    pub(crate) struct Response {}
}

/// Sends a message.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    arguments: Arguments,
) -> Result<RawJson, Failure> {
    let [room_id, event_type] = arguments.path.as_slice() else {
        return Err(Failure::internal("the path has other variables"));
    };
    let place = (room_id.as_str(), event_type.as_str(), None);
    send_message_event::send(&app, caller, place, &arguments).await
}

/// Strips an event of what its sender said.
pub(crate) async fn handle_redaction(
    app: Arc<App>,
    caller: Session,
    arguments: Arguments,
) -> Result<RawJson, Failure> {
    let [room_id, event_id] = arguments.path.as_slice() else {
        return Err(Failure::internal("the path has other variables"));
    };
    let room_id: &RoomId = parse_id(room_id)?;
    let event_id: &EventId = parse_id(event_id)?;
    let body: Value = match arguments.body.is_empty() {
        true => json!({}),
        false => serde_json::from_slice(&arguments.body)?,
    };
    let content = match body["reason"].as_str() {
        Some(reason) => json!({ "reason": reason }),
        None => json!({}),
    };
    if caller.suspended {
        must_be_own_event(&app, &caller, room_id, Some(event_id)).await?;
    }
    if caller.shadow_banned {
        return send_message_event::pretend(&app, &content.to_string());
    }
    let event = SendEvent {
        redacts: Some(event_id.to_owned()),
        guest: caller.guest,
        ..SendEvent::new(
            caller.user_id.clone(),
            TimelineEventType::RoomRedaction,
            content.to_string(),
        )
    };
    let event_id = app.house.send_event(room_id, event).await?;
    Ok(Object::new().text("event_id", event_id.as_str()).finish())
}

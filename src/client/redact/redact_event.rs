//! `PUT /_matrix/client/*/rooms/{roomId}/redact/{eventId}/{txnId}`

use std::sync::Arc;

use playhouse_actors::room::message::SendEvent;
use playhouse_actors::room::{RoomAnswer, RoomQuery};
use ruma::{
    EventId, OwnedUserId, RoomId,
    api::client::redact::redact_event::v3::{Request, Response},
    events::TimelineEventType,
};
use serde::Deserialize;
use serde_json::json;

use crate::{
    client::{reader, transaction},
    edge::{App, Failure, Session},
};

/// Strips an event of what its sender said.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    let content = match &request.reason {
        Some(reason) => json!({ "reason": reason }),
        None => json!({}),
    };
    let scope = ("redact", request.event_id.as_str());
    let transaction = transaction(&caller, scope, request.txn_id.as_str());
    let event = SendEvent {
        redacts: Some(request.event_id),
        transaction: Some(transaction),
        guest: caller.guest,
        ..SendEvent::new(
            caller.user_id.clone(),
            TimelineEventType::RoomRedaction,
            content.to_string(),
        )
    };
    if caller.suspended {
        must_be_own_event(&app, &caller, &request.room_id, event.redacts.as_deref()).await?;
    }
    if caller.shadow_banned {
        let pretended = EventId::parse(app.house.pretended_event_id());
        return Ok(Response::new(pretended.map_err(Failure::internal)?));
    }
    let event_id = app.house.send_event(&request.room_id, event).await?;
    Ok(Response::new(event_id))
}

/// Somebody who is suspended may redact only what is their own (client-server API, "Account suspension").
pub(crate) async fn must_be_own_event(
    app: &App,
    caller: &Session,
    room_id: &RoomId,
    event_id: Option<&EventId>,
) -> Result<(), Failure> {
    #[derive(Deserialize)]
    struct Sent {
        sender: OwnedUserId,
    }
    let Some(event_id) = event_id else {
        return caller.not_suspended();
    };
    let query = RoomQuery::Event {
        reader: reader(caller),
        event_id: event_id.to_owned(),
    };
    let RoomAnswer::Event(event) = app.house.room_query(room_id, query).await? else {
        return Err(Failure::internal("unexpected answer to Event"));
    };
    let sent: Sent = serde_json::from_slice(&event).map_err(Failure::internal)?;
    if sent.sender == caller.user_id {
        Ok(())
    } else {
        caller.not_suspended()
    }
}

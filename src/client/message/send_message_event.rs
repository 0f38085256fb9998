//! `PUT /_matrix/client/*/rooms/{roomId}/send/{eventType}/{txnId}`

use std::sync::Arc;

use playhouse_actors::room::message::SendEvent;
use ruma::RoomId;

use crate::{
    client::{page, parse_id, query, text_body, transaction},
    edge::{App, Arguments, Failure, RawJson, Session},
};

/// Sends a message; a repeat with the same transaction ID is answered with the first one's event.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    arguments: Arguments,
) -> Result<RawJson, Failure> {
    caller.not_suspended()?;
    let [room_id, event_type, transaction_id] = arguments.path.as_slice() else {
        return Err(Failure::internal("the path has other variables"));
    };
    let room_id: &RoomId = parse_id(room_id)?;
    let event = SendEvent {
        event_type: event_type.as_str().into(),
        state_key: None,
        content: text_body(&arguments.body)?,
        redacts: None,
        transaction: Some(transaction(
            &caller,
            ("send", event_type.as_str()),
            transaction_id,
        )),
        origin_server_ts: query::timestamp(&caller, arguments.query.as_deref())?,
        guest: caller.guest,
        sender: caller.known.user_id,
    };
    let event_id = app.house.send_event(room_id, event).await?;
    Ok(page::Object::new()
        .text("event_id", event_id.as_str())
        .finish())
}

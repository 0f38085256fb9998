//! `PUT /_matrix/client/unstable/org.matrix.msc4140/rooms/{roomId}/delayed_event/{eventType}/{txnId}`

use std::sync::Arc;

use bytes::Bytes;
use ruma::RoomId;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Wish, schedule};
use crate::{
    client::{parse_id, transaction},
    edge::{App, Arguments, Failure, RawJson, Session},
};

#[derive(Deserialize)]
struct Body {
    /// The name that the proposal had for `delay_ms` before.
    delay: Option<u64>,
    delay_ms: Option<u64>,
    state_key: Option<String>,
    content: Box<RawValue>,
}

/// Sends a message or a state event later; a repeat with the same transaction ID is answered with the first one's name.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    arguments: Arguments,
) -> Result<RawJson, Failure> {
    let [room_id, event_type, transaction_id] = arguments.path.as_slice() else {
        return Err(Failure::internal("the path has other variables"));
    };
    let room_id: &RoomId = parse_id(room_id)?;
    let body: Body = serde_json::from_slice(&arguments.body)?;
    let delay_ms = body
        .delay_ms
        .or(body.delay)
        .ok_or_else(|| Failure::missing_param("delay is missing"))?;
    let content = Bytes::from(body.content.get().to_owned());
    let transaction = transaction(
        &caller,
        ("delayed_event", event_type.as_str()),
        transaction_id,
    );
    let event = (event_type.as_str(), body.state_key);
    let wish = Wish::new(delay_ms, &arguments)?;
    let later = (wish, &content, Some(transaction.transaction_id));
    schedule(&app, &caller, (room_id, event), later).await
}

//! `GET /_matrix/client/*/rooms/{roomId}/state/{eventType}/{stateKey}`

use std::sync::Arc;

use playhouse_actors::room::{RoomAnswer, RoomQuery};
use ruma::RoomId;

use crate::{
    client::{parse_id, query, reader},
    edge::{App, Arguments, Failure, RawJson, Session},
};

/// Gives the content of one state event, or all of it with `format=event`.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    arguments: Arguments,
) -> Result<RawJson, Failure> {
    let [room_id, event_type, rest @ ..] = arguments.path.as_slice() else {
        return Err(Failure::internal("the path has other variables"));
    };
    let content_only = match query::parameter(arguments.query.as_deref(), "format").as_deref() {
        None | Some("content") => true,
        Some("event") => false,
        Some(_) => return Err(Failure::invalid_param("format is content or event")),
    };
    let query = RoomQuery::StateEvent {
        reader: reader(&caller),
        event_type: event_type.as_str().into(),
        state_key: rest.first().cloned().unwrap_or_default(),
        content_only,
    };
    match app
        .house
        .room_query(parse_id::<RoomId>(room_id)?, query)
        .await?
    {
        RoomAnswer::Event(event) => Ok(RawJson(event)),
        _ => Err(Failure::internal("unexpected answer to StateEvent")),
    }
}

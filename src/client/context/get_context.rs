//! `GET /_matrix/client/*/rooms/{roomId}/context/{eventId}`

use std::sync::Arc;

use playhouse_actors::room::{
    RoomAnswer, RoomQuery,
    message::{ContextPage, ContextQuery},
};
use ruma::api::client::context::get_context::v3::Request;

use crate::{
    client::{page, point, query, reader_of_history},
    edge::{App, Arguments, Failure, RawJson, Session},
};

/// The most events around an event.
pub(crate) const LIMIT_MAX: u64 = 100;

/// Gives an event, what surrounds it, and the state there.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    arguments: Arguments,
) -> Result<RawJson, Failure> {
    let request: Request = arguments.typed()?;
    let wanted = RoomQuery::Context(Box::new(ContextQuery {
        reader: reader_of_history(&app, &caller, &request.room_id).await?,
        event_id: request.event_id,
        limit: u64::from(request.limit).min(LIMIT_MAX) as usize,
        filter: query::filter(&arguments),
    }));
    let RoomAnswer::Context(context) = app.house.room_query(&request.room_id, wanted).await? else {
        return Err(Failure::internal("unexpected answer to Context"));
    };
    Ok(written(&context))
}

/// The answer.
pub(crate) fn written(context: &ContextPage) -> RawJson {
    page::Object::new()
        .raw("event", &context.event)
        .array("events_before", &context.events_before)
        .array("events_after", &context.events_after)
        .array("state", &context.state)
        .text("start", &point::of_place(context.start))
        .text("end", &point::of_place(context.end))
        .finish()
}

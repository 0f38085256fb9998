//! `GET /_matrix/client/*/rooms/{roomId}/event/{eventId}`

use std::sync::Arc;

use playhouse_actors::room::{RoomAnswer, RoomQuery};
use ruma::api::client::room::get_room_event::v3::Request;

use crate::{
    client::reader_of_history,
    edge::{App, Failure, RawJson, Session},
};

/// Gives one event that the caller may see.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<RawJson, Failure> {
    let query = RoomQuery::Event {
        reader: reader_of_history(&app, &caller, &request.room_id).await?,
        event_id: request.event_id,
    };
    match app.house.room_query(&request.room_id, query).await? {
        RoomAnswer::Event(event) => Ok(RawJson(event)),
        _ => Err(Failure::internal("unexpected answer to Event")),
    }
}

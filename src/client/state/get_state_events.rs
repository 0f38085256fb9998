//! `GET /_matrix/client/*/rooms/{roomId}/state`

use std::sync::Arc;

use playhouse_actors::room::{RoomAnswer, RoomQuery};
use ruma::api::client::state::get_state_events::v3::Request;

use crate::{
    client::{page, reader},
    edge::{App, Failure, RawJson, Session},
};

/// Lists the state of a room: in force, or when the caller left it.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<RawJson, Failure> {
    let query = RoomQuery::State {
        reader: reader(&caller),
    };
    match app.house.room_query(&request.room_id, query).await? {
        RoomAnswer::Events(events) => Ok(page::list(&events)),
        _ => Err(Failure::internal("unexpected answer to State")),
    }
}

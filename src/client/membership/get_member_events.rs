//! `GET /_matrix/client/*/rooms/{roomId}/members`

use std::sync::Arc;

use playhouse_actors::room::{RoomAnswer, RoomQuery};
use ruma::api::client::membership::get_member_events::v3::Request;

use crate::{
    client::{page, point, reader},
    edge::{App, Failure, RawJson, Session},
};

/// Lists the member events of a room, now or at some point of its timeline.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<RawJson, Failure> {
    let at = match &request.at {
        Some(token) => Some(point::parse(&app, &request.room_id, token)?),
        None => None,
    };
    let query = RoomQuery::Members {
        reader: reader(&caller),
        at,
        membership: request.membership,
        not_membership: request.not_membership,
    };
    match app.house.room_query(&request.room_id, query).await? {
        RoomAnswer::Events(events) => Ok(page::Object::new().array("chunk", &events).finish()),
        _ => Err(Failure::internal("unexpected answer to Members")),
    }
}

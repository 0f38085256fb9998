//! `GET /_matrix/client/*/rooms/{roomId}/timestamp_to_event`

use std::sync::Arc;

use playhouse_actors::room::{RoomAnswer, RoomQuery, message::EventAtQuery};
use ruma::{
    MilliSecondsSinceUnixEpoch, UInt,
    api::{
        Direction,
        client::room::get_event_by_timestamp::v1::{Request, Response},
    },
};

use crate::{
    client::reader_of_history,
    edge::{App, Failure, Session},
};

/// Finds the event closest to a time.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    let query = RoomQuery::EventAt(Box::new(EventAtQuery {
        reader: reader_of_history(&app, &caller, &request.room_id).await?,
        ts_ms: request.ts.0.into(),
        backwards: request.dir == Direction::Backward,
    }));
    let RoomAnswer::Found(found) = app.house.room_query(&request.room_id, query).await? else {
        return Err(Failure::internal("unexpected answer to EventAt"));
    };
    let sent = MilliSecondsSinceUnixEpoch(UInt::new_saturating(found.sent_ms));
    Ok(Response::new(found.event_id, sent))
}

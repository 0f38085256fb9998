//! `GET /_matrix/client/*/rooms/{roomId}/timestamp_to_event`

use std::sync::Arc;

use playhouse_actors::room::message::EventAtQuery;
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
    let query = EventAtQuery {
        reader: reader_of_history(&app, &caller, &request.room_id).await?,
        ts_ms: request.ts.0.into(),
        backwards: request.dir == Direction::Backward,
    };
    let found = app.house.event_at(&request.room_id, query).await?;
    let sent = MilliSecondsSinceUnixEpoch(UInt::new_saturating(found.sent_ms));
    Ok(Response::new(found.event_id, sent))
}

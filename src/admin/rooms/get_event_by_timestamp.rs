//! `GET /_synapse/admin/v1/rooms/{room_id}/timestamp_to_event`

use std::sync::Arc;

use playhouse_actors::room::message::{EventAtQuery, Reader};
use ruma::{
    OwnedEventId, OwnedRoomId,
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};

use crate::{
    admin::{only_administrators, paging::is_backwards},
    edge::{App, Failure, Session},
};

metadata! {
    method: GET,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_synapse/admin/v1/rooms/{room_id}/timestamp_to_event",
}

/// Names a time.
#[request]
pub(crate) struct Request {
    /// The room.
    #[ruma_api(path)]
    pub(crate) room_id: OwnedRoomId,
    /// Milliseconds since the Unix epoch.
    #[ruma_api(query)]
    pub(crate) ts: u64,
    /// Onwards or back from there.
    #[ruma_api(query)]
    pub(crate) dir: Option<String>,
}

/// The event.
#[response]
pub(crate) struct Response {
    /// Its ID.
    pub(crate) event_id: OwnedEventId,
    /// When it was sent, milliseconds since the Unix epoch.
    pub(crate) origin_server_ts: u64,
}

/// Finds the event closest to a time for an administrator, whoever may see it.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    only_administrators(&caller)?;
    let query = EventAtQuery {
        reader: Reader::administrator(caller.user_id.clone()),
        ts_ms: request.ts,
        backwards: is_backwards(request.dir.as_deref(), false)?,
    };
    let found = app.house.event_at(&request.room_id, query).await?;
    Ok(Response {
        event_id: found.event_id,
        origin_server_ts: found.sent_ms,
    })
}

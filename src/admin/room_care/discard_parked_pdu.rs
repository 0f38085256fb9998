//! `DELETE /_playhouse/admin/v1/rooms/{room_id}/parked/{event_id}`

use std::sync::Arc;

use ruma::{
    OwnedEventId, OwnedRoomId,
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};

use super::graph::Waiting;
use crate::edge::{Admin, App, Failure};

metadata! {
    method: DELETE,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_playhouse/admin/v1/rooms/{room_id}/parked/{event_id}",
}

/// Names an event that waits in a room.
#[request]
pub(crate) struct Request {
    /// The room.
    #[ruma_api(path)]
    pub(crate) room_id: OwnedRoomId,
    /// The event.
    #[ruma_api(path)]
    pub(crate) event_id: OwnedEventId,
}

/// It waits no more.
#[response]
pub(crate) struct Response {
    /// As it waited.
    pub(crate) parked: Waiting,
}

/// Gives up an event that waits in a room: it is not taken in, unless somebody brings it again.
pub(crate) async fn handle(
    app: Arc<App>,
    _caller: Admin,
    request: Request,
) -> Result<Response, Failure> {
    let Request { room_id, event_id } = request;
    let parked = app.house.discard_parked_pdu(&room_id, &event_id).await?;
    Ok(Response {
        parked: parked.into(),
    })
}

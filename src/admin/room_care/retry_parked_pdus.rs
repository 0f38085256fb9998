//! `POST /_playhouse/admin/v1/rooms/{room_id}/parked/retry`

use std::sync::Arc;

use ruma::{
    OwnedRoomId,
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};

use super::graph::Waiting;
use crate::edge::{Admin, App, Failure};

metadata! {
    method: POST,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_playhouse/admin/v1/rooms/{room_id}/parked/retry",
}

/// Names a room.
#[request]
pub(crate) struct Request {
    /// Its ID.
    #[ruma_api(path)]
    pub(crate) room_id: OwnedRoomId,
}

/// They are tried.
#[response]
pub(crate) struct Response {
    /// The events that wait in the room.
    pub(crate) parked: Vec<Waiting>,
}

/// Tries again to take in all events that wait in a room, whatever they lack: their servers are asked for that once more. Nobody waits for how it ends.
pub(crate) async fn handle(
    app: Arc<App>,
    _caller: Admin,
    request: Request,
) -> Result<Response, Failure> {
    let parked = app.house.retry_parked_pdus(&request.room_id).await?;
    Ok(Response {
        parked: parked.into_iter().map(Waiting::from).collect(),
    })
}

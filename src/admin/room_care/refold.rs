//! `POST /_playhouse/admin/v1/rooms/{room_id}/refold`

use std::sync::Arc;

use ruma::{
    OwnedRoomId,
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};

use super::ShownGraph;
use crate::edge::{Admin, App, Failure};

metadata! {
    method: POST,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_playhouse/admin/v1/rooms/{room_id}/refold",
}

/// Names a room.
#[request]
pub(crate) struct Request {
    /// Its ID.
    #[ruma_api(path)]
    pub(crate) room_id: OwnedRoomId,
}

/// It is done.
#[response]
pub(crate) struct Response {
    /// Something is other than it was, which only a wrong snapshot or what came meanwhile can bring about.
    pub(crate) changed: bool,
    /// How the room stood.
    pub(crate) before: ShownGraph,
    /// How it stands.
    pub(crate) after: ShownGraph,
}

/// Lets a room read its whole log again, whatever its snapshot says.
pub(crate) async fn handle(
    app: Arc<App>,
    _caller: Admin,
    request: Request,
) -> Result<Response, Failure> {
    let (mut before, after) = app.house.refold_room(&request.room_id).await?;
    let held = before.held_bytes;
    // How much of it is in memory depends on who asked what.
    before.held_bytes = after.held_bytes;
    let changed = before != after;
    before.held_bytes = held;
    Ok(Response {
        changed,
        before: before.into(),
        after: after.into(),
    })
}

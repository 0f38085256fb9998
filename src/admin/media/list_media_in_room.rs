//! `GET /_synapse/admin/v1/room/{roomId}/media`

use std::sync::Arc;

use ruma::{
    OwnedRoomId,
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};

use crate::{
    admin::only_administrators,
    edge::{App, Failure, Session},
};

metadata! {
    method: GET,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_synapse/admin/v1/room/{room_id}/media",
}

/// Names a room.
#[request]
pub(crate) struct Request {
    /// Which.
    #[ruma_api(path)]
    pub(crate) room_id: OwnedRoomId,
}

/// Addresses of media.
#[response]
pub(crate) struct Response {
    /// Of this server.
    pub(crate) local: Vec<String>,
    /// Of others.
    pub(crate) remote: Vec<String>,
}

/// Lists the media to which events of a room point. What stands in encrypted events cannot be seen.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    only_administrators(&caller)?;
    let found = app.house.media_in_room(&request.room_id).await?;
    let (local, remote): (Vec<_>, Vec<_>) = found
        .into_iter()
        .partition(|name| app.house.is_local(&name.server_name));
    let addresses = |names: Vec<_>| names.iter().map(ToString::to_string).collect();
    Ok(Response {
        local: addresses(local),
        remote: addresses(remote),
    })
}

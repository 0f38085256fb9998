//! `DELETE /_playhouse/admin/v1/joins/{room_id}/{user_id}`

use std::sync::Arc;

use ruma::{
    OwnedRoomId, OwnedUserId,
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};

use crate::edge::{Admin, App, Failure};

metadata! {
    method: DELETE,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_playhouse/admin/v1/joins/{room_id}/{user_id}",
}

/// Names a join that is under way.
#[request]
pub(crate) struct Request {
    /// Where to.
    #[ruma_api(path)]
    pub(crate) room_id: OwnedRoomId,
    /// Who.
    #[ruma_api(path)]
    pub(crate) user_id: OwnedUserId,
}

/// It is cancelled.
#[response]
pub(crate) struct Response {}

/// Cancels a join: nothing more is sent for it, and where the user may have been let in, the user leaves.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Admin,
    request: Request,
) -> Result<Response, Failure> {
    let Request { room_id, user_id } = request;
    app.house
        .cancel_join(&room_id, &user_id, &caller.name)
        .await?;
    Ok(Response {})
}

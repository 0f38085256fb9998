//! `GET /_synapse/admin/v1/users/{user_id}/joined_rooms`

use std::sync::Arc;

use ruma::{
    OwnedRoomId, OwnedUserId,
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};

use super::local_account;
use crate::{
    admin::only_administrators,
    edge::{App, Failure, Session},
};

metadata! {
    method: GET,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_synapse/admin/v1/users/{user_id}/joined_rooms",
}

/// Asks where a user is.
#[request]
pub(crate) struct Request {
    /// Whose.
    #[ruma_api(path)]
    pub(crate) user_id: OwnedUserId,
}

/// The rooms.
#[response]
pub(crate) struct Response {
    /// The rooms that the user has joined.
    pub(crate) joined_rooms: Vec<OwnedRoomId>,
    /// How many.
    pub(crate) total: usize,
}

/// Tells an administrator which rooms a user has joined.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    only_administrators(&caller)?;
    let account = local_account(&app, &request.user_id).await?;
    // Who is gone has left, or is about to.
    let joined_rooms = match account.deactivated {
        true => Vec::new(),
        false => app.house.joined_rooms(&request.user_id).await?,
    };
    Ok(Response {
        total: joined_rooms.len(),
        joined_rooms,
    })
}

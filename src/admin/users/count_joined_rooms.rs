//! `GET /_synapse/admin/v1/users/{user_id}/cumulative_joined_room_count`

use std::sync::Arc;

use ruma::{
    OwnedUserId,
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
    path: "/_synapse/admin/v1/users/{user_id}/cumulative_joined_room_count",
}

/// Asks into how many rooms a user has come.
#[request]
pub(crate) struct Request {
    /// Whose.
    #[ruma_api(path)]
    pub(crate) user_id: OwnedUserId,
    /// Since then, milliseconds since the Unix epoch.
    #[ruma_api(query)]
    pub(crate) from_ts: u64,
}

/// How many.
#[response]
pub(crate) struct Response {
    /// So many rooms.
    pub(crate) cumulative_joined_room_count: u64,
}

/// Tells an administrator into how many rooms a user has come since a time, also if the user has left since.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    only_administrators(&caller)?;
    local_account(&app, &request.user_id).await?;
    let cumulative_joined_room_count = app
        .house
        .rooms_joined_since(&request.user_id, request.from_ts)
        .await?;
    Ok(Response {
        cumulative_joined_room_count,
    })
}

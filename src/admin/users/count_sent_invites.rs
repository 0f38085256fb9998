//! `GET /_synapse/admin/v1/users/{user_id}/sent_invite_count`

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
    path: "/_synapse/admin/v1/users/{user_id}/sent_invite_count",
}

/// Asks how many invites a user has sent.
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
    /// So many invites.
    pub(crate) invite_count: u64,
}

/// Tells an administrator how many invites a user has sent since a time.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    only_administrators(&caller)?;
    local_account(&app, &request.user_id).await?;
    let invite_count = app
        .house
        .sent_invites(&request.user_id, request.from_ts)
        .await?;
    Ok(Response { invite_count })
}

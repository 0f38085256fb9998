//! `GET /_synapse/admin/v1/users/{user_id}/admin`

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
    path: "/_synapse/admin/v1/users/{user_id}/admin",
}

/// Asks what a user may do.
#[request]
pub(crate) struct Request {
    /// Whose.
    #[ruma_api(path)]
    pub(crate) user_id: OwnedUserId,
}

/// What the user may do.
#[response]
pub(crate) struct Response {
    /// The user is an administrator of this server.
    pub(crate) admin: bool,
}

/// Tells whether a user is an administrator.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    only_administrators(&caller)?;
    let account = local_account(&app, &request.user_id).await?;
    Ok(Response {
        admin: account.admin,
    })
}

//! `POST /_synapse/admin/v1/users/{user_id}/login`

use std::sync::Arc;

use ruma::{
    OwnedDeviceId, OwnedUserId,
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};

use super::local_account;
use crate::{
    admin::only_administrators,
    edge::{App, Failure, Session},
};

metadata! {
    method: POST,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_synapse/admin/v1/users/{user_id}/login",
}

/// Asks for a session of a user.
#[request]
pub(crate) struct Request {
    /// Whose.
    #[ruma_api(path)]
    pub(crate) user_id: OwnedUserId,
    /// When it ends, milliseconds since the Unix epoch.
    pub(crate) valid_until_ms: Option<u64>,
}

/// The session.
#[response]
pub(crate) struct Response {
    /// By which the administrator acts for the user.
    pub(crate) access_token: String,
    /// The device that was made for it: the user sees it, and it can be removed.
    pub(crate) device_id: OwnedDeviceId,
}

/// Lets an administrator act for a user.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    only_administrators(&caller)?;
    if caller.user_id == request.user_id {
        return Err(Failure::invalid_param("you are logged in as yourself"));
    }
    let account = local_account(&app, &request.user_id).await?;
    if account.deactivated || account.locked {
        return Err(Failure::invalid_param("this account is closed or locked"));
    }
    let session = app
        .house
        .log_in_as(&request.user_id, request.valid_until_ms)
        .await?;
    tracing::info!(user_id = %request.user_id, administrator = %caller.user_id, "an administrator acts for a user");
    Ok(Response {
        access_token: session.access_token,
        device_id: session.device_id,
    })
}

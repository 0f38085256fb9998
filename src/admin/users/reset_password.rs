//! `POST /_synapse/admin/v1/reset_password/{user_id}`

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
    method: POST,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_synapse/admin/v1/reset_password/{user_id}",
}

/// A new password.
#[request]
pub(crate) struct Request {
    /// Whose.
    #[ruma_api(path)]
    pub(crate) user_id: OwnedUserId,
    /// In clear.
    pub(crate) new_password: String,
    /// End all sessions.
    #[serde(default = "ruma::serde::default_true")]
    pub(crate) logout_devices: bool,
}

/// It is set.
#[response]
pub(crate) struct Response {}

/// Sets a user's password.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    only_administrators(&caller)?;
    local_account(&app, &request.user_id).await?;
    let logout_except = request.logout_devices.then_some(None);
    app.house
        .set_password(&request.user_id, request.new_password, logout_except)
        .await?;
    Ok(Response {})
}

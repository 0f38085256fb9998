//! `GET /_synapse/admin/v2/users/{user_id}/devices`

use std::sync::Arc;

use ruma::{
    OwnedUserId,
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};

use super::{Shown, devices, local_account};
use crate::{
    admin::only_administrators,
    edge::{App, Failure, Session},
};

metadata! {
    method: GET,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_synapse/admin/v2/users/{user_id}/devices",
}

/// Asks for a user's devices.
#[request]
pub(crate) struct Request {
    /// Whose.
    #[ruma_api(path)]
    pub(crate) user_id: OwnedUserId,
}

/// The devices.
#[response]
pub(crate) struct Response {
    /// All of them.
    pub(crate) devices: Vec<Shown>,
    /// How many.
    pub(crate) total: usize,
}

/// Tells an administrator which devices a user has.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    only_administrators(&caller)?;
    local_account(&app, &request.user_id).await?;
    let devices = devices(&app, &request.user_id, None).await?;
    Ok(Response {
        total: devices.len(),
        devices,
    })
}

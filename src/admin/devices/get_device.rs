//! `GET /_synapse/admin/v2/users/{user_id}/devices/{device_id}`

use std::sync::Arc;

use ruma::{
    OwnedDeviceId, OwnedUserId,
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
    path: "/_synapse/admin/v2/users/{user_id}/devices/{device_id}",
}

/// Asks for a device.
#[request]
pub(crate) struct Request {
    /// Whose.
    #[ruma_api(path)]
    pub(crate) user_id: OwnedUserId,
    /// Which.
    #[ruma_api(path)]
    pub(crate) device_id: OwnedDeviceId,
}

/// The device.
#[response]
pub(crate) struct Response {
    /// All that is told of it.
    #[ruma_api(body)]
    pub(crate) device: Shown,
}

/// Tells an administrator of a user's device.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    only_administrators(&caller)?;
    local_account(&app, &request.user_id).await?;
    let found = devices(&app, &request.user_id, Some(request.device_id)).await?;
    let device = found.into_iter().next();
    let device = device.ok_or_else(|| Failure::not_found("unknown device"))?;
    Ok(Response { device })
}

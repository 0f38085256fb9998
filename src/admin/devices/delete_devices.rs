//! `POST /_synapse/admin/v2/users/{user_id}/delete_devices`

use std::sync::Arc;

use playhouse_actors::user::UserCommand;
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
    path: "/_synapse/admin/v2/users/{user_id}/delete_devices",
}

/// Devices that are to go.
#[request]
pub(crate) struct Request {
    /// Whose.
    #[ruma_api(path)]
    pub(crate) user_id: OwnedUserId,
    /// Which.
    pub(crate) devices: Vec<OwnedDeviceId>,
}

/// They are gone.
#[response]
pub(crate) struct Response {}

/// Ends sessions of a user: their devices go. Those that are not there are as good as gone.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    only_administrators(&caller)?;
    local_account(&app, &request.user_id).await?;
    let command = UserCommand::RemoveDevices {
        device_ids: request.devices,
    };
    app.house.user_command(&request.user_id, command).await?;
    Ok(Response {})
}

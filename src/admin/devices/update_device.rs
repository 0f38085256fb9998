//! `PUT /_synapse/admin/v2/users/{user_id}/devices/{device_id}`

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
    method: PUT,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_synapse/admin/v2/users/{user_id}/devices/{device_id}",
}

/// A device's new name.
#[request]
pub(crate) struct Request {
    /// Whose.
    #[ruma_api(path)]
    pub(crate) user_id: OwnedUserId,
    /// Which.
    #[ruma_api(path)]
    pub(crate) device_id: OwnedDeviceId,
    /// The name; without one it stays.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) display_name: Option<String>,
}

/// It is named so.
#[response]
pub(crate) struct Response {}

/// Renames a user's device.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    only_administrators(&caller)?;
    local_account(&app, &request.user_id).await?;
    let command = UserCommand::RenameDevice {
        device_id: request.device_id,
        display_name: request.display_name,
    };
    app.house.user_command(&request.user_id, command).await?;
    Ok(Response {})
}

//! `DELETE /_synapse/admin/v2/users/{user_id}/devices/{device_id}`

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
    method: DELETE,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_synapse/admin/v2/users/{user_id}/devices/{device_id}",
}

/// A device that is to go.
#[request]
pub(crate) struct Request {
    /// Whose.
    #[ruma_api(path)]
    pub(crate) user_id: OwnedUserId,
    /// Which.
    #[ruma_api(path)]
    pub(crate) device_id: OwnedDeviceId,
}

/// It is gone.
#[response]
pub(crate) struct Response {}

/// Ends a session of a user: its device goes. One that is not there is as good as gone.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    only_administrators(&caller)?;
    local_account(&app, &request.user_id).await?;
    let command = UserCommand::RemoveDevices {
        device_ids: vec![request.device_id],
    };
    app.house.user_command(&request.user_id, command).await?;
    Ok(Response {})
}

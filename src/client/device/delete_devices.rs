//! `POST /_matrix/client/*/delete_devices`

use std::sync::Arc;

use playhouse_actors::user::UserCommand;
use ruma::api::client::device::delete_devices::v3::{Request, Response};

use crate::{
    client::account::stages::prove_identity,
    edge::{App, Failure, Session},
};

/// Removes some of the caller's devices with their tokens and keys.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    prove_identity(&app, &caller, "delete_devices", request.auth.as_ref()).await?;
    let command = UserCommand::RemoveDevices {
        device_ids: request.devices,
    };
    app.house.user_command(&caller.user_id, command).await?;
    Ok(Response::new())
}

//! `DELETE /_matrix/client/*/devices/{deviceId}`

use std::sync::Arc;

use playhouse_actors::user::UserCommand;
use ruma::api::client::device::delete_device::v3::{Request, Response};

use crate::{
    client::account::stages::prove_identity,
    edge::{App, Failure, Session},
};

/// Removes one of the caller's devices with its tokens and keys.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    let operation = format!("devices/{}", request.device_id);
    prove_identity(&app, &caller, &operation, request.auth.as_ref()).await?;
    let command = UserCommand::RemoveDevices {
        device_ids: vec![request.device_id],
    };
    app.house.user_command(&caller.user_id, command).await?;
    Ok(Response::new())
}

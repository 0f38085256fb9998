//! `PUT /_matrix/client/*/devices/{deviceId}`

use std::sync::Arc;

use playhouse_actors::user::UserCommand;
use ruma::api::client::device::update_device::v3::{Request, Response};

use crate::edge::{App, Failure, Session};

/// Renames one of the caller's devices.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    let command = UserCommand::RenameDevice {
        device_id: request.device_id,
        display_name: request.display_name,
    };
    app.house.user_command(&caller.user_id, command).await?;
    Ok(Response::new())
}

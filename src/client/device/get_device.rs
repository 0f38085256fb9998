//! `GET /_matrix/client/*/devices/{deviceId}`

use std::sync::Arc;

use playhouse_actors::user::{UserAnswer, UserQuery};
use ruma::api::client::device::get_device::v3::{Request, Response};

use crate::edge::{App, Failure, Session};

/// Tells about one of the caller's devices.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    let query = UserQuery::Devices {
        device_id: Some(request.device_id),
    };
    match app.house.user_query(&caller.user_id, query).await? {
        UserAnswer::Devices(devices) => devices
            .into_iter()
            .next()
            .map(|device| Response::new(super::shown(device)))
            .ok_or_else(|| Failure::not_found("unknown device")),
        _ => Err(Failure::internal("unexpected answer to Devices")),
    }
}

//! `GET /_matrix/client/*/devices`

use std::sync::Arc;

use playhouse_actors::user::{UserAnswer, UserQuery};
use ruma::api::client::device::get_devices::v3::{Request, Response};

use crate::edge::{App, Failure, Session};

/// Lists the caller's devices.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    _request: Request,
) -> Result<Response, Failure> {
    let query = UserQuery::Devices { device_id: None };
    match app.house.user_query(&caller.user_id, query).await? {
        UserAnswer::Devices(devices) => Ok(Response::new(
            devices.into_iter().map(super::shown).collect(),
        )),
        _ => Err(Failure::internal("unexpected answer to Devices")),
    }
}

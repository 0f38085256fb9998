//! `GET /_matrix/client/*/account/whoami`

use std::sync::Arc;

use ruma::api::client::account::whoami::v3::{Request, Response};

use crate::edge::{App, Failure, Session};

/// Tells whose token this is.
pub(crate) async fn handle(
    _app: Arc<App>,
    caller: Session,
    _request: Request,
) -> Result<Response, Failure> {
    let known = caller.known;
    let mut response = Response::new(known.user_id, known.guest);
    response.device_id = known.device_id;
    Ok(response)
}

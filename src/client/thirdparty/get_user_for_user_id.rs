//! `GET /_matrix/client/*/thirdparty/user`

use std::sync::Arc;

use ruma::api::client::thirdparty::get_user_for_user_id::v3::{Request, Response};

use crate::edge::{App, Failure, Session};

/// Tells which bridged user a user ID is: there are no bridges, so none.
pub(crate) async fn handle(
    _app: Arc<App>,
    _caller: Session,
    _request: Request,
) -> Result<Response, Failure> {
    Ok(Response::new(Vec::new()))
}

//! `GET /_matrix/client/*/thirdparty/user/{protocol}`

use std::sync::Arc;

use ruma::api::client::thirdparty::get_user_for_protocol::v3::{Request, Response};

use crate::edge::{App, Failure, Session};

/// Finds bridged users: there are no bridges, so no protocol is known.
pub(crate) async fn handle(
    _app: Arc<App>,
    _caller: Session,
    _request: Request,
) -> Result<Response, Failure> {
    Err(Failure::not_found("unknown protocol"))
}

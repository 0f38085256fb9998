//! `GET /_matrix/client/*/thirdparty/protocol/{protocol}`

use std::sync::Arc;

use ruma::api::client::thirdparty::get_protocol::v3::{Request, Response};

use crate::edge::{App, Failure, Session};

/// Describes a bridged protocol: there are no bridges, so none is known.
pub(crate) async fn handle(
    _app: Arc<App>,
    _caller: Session,
    _request: Request,
) -> Result<Response, Failure> {
    Err(Failure::not_found("unknown protocol"))
}

//! `GET /_matrix/client/*/thirdparty/location/{protocol}`

use std::sync::Arc;

use ruma::api::client::thirdparty::get_location_for_protocol::v3::{Request, Response};

use crate::edge::{App, Failure, Session};

/// Finds portal rooms: there are no bridges, so no protocol is known.
pub(crate) async fn handle(
    _app: Arc<App>,
    _caller: Session,
    _request: Request,
) -> Result<Response, Failure> {
    Err(Failure::not_found("unknown protocol"))
}

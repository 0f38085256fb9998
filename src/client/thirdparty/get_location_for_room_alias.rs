//! `GET /_matrix/client/*/thirdparty/location`

use std::sync::Arc;

use ruma::api::client::thirdparty::get_location_for_room_alias::v3::{Request, Response};

use crate::edge::{App, Failure, Session};

/// Tells which portal an alias is: there are no bridges, so none.
pub(crate) async fn handle(
    _app: Arc<App>,
    _caller: Session,
    _request: Request,
) -> Result<Response, Failure> {
    Ok(Response::new(Vec::new()))
}

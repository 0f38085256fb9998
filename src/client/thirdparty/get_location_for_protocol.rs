//! `GET /_matrix/client/*/thirdparty/location/{protocol}`

use std::sync::Arc;

use ruma::api::client::thirdparty::get_location_for_protocol::v3::{Request, Response};

use super::asking::{self, Kind};
use crate::edge::{App, Failure, Session};

/// Finds portal rooms of a network.
pub(crate) async fn handle(
    app: Arc<App>,
    _caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    let (protocol, fields) = (&request.protocol, &request.fields);
    let locations = asking::by_fields(&app, Kind::Location, protocol, fields).await?;
    Ok(Response::new(locations))
}

//! `GET /_matrix/client/*/thirdparty/location`

use std::sync::Arc;

use ruma::api::client::thirdparty::get_location_for_room_alias::v3::{Request, Response};

use super::asking::{self, Kind};
use crate::edge::{App, Failure, Session};

/// Tells which portal rooms an alias is.
pub(crate) async fn handle(
    app: Arc<App>,
    _caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    let alias = ("alias", request.alias.as_str());
    let locations = asking::by_identifier(&app, Kind::Location, alias).await;
    Ok(Response::new(locations))
}

//! `GET /_matrix/client/*/thirdparty/user/{protocol}`

use std::sync::Arc;

use ruma::api::client::thirdparty::get_user_for_protocol::v3::{Request, Response};

use super::asking::{self, Kind};
use crate::edge::{App, Failure, Session};

/// Finds users of a network.
pub(crate) async fn handle(
    app: Arc<App>,
    _caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    let (protocol, fields) = (&request.protocol, &request.fields);
    let users = asking::by_fields(&app, Kind::User, protocol, fields).await?;
    Ok(Response::new(users))
}

//! `GET /_matrix/client/*/thirdparty/user`

use std::sync::Arc;

use ruma::api::client::thirdparty::get_user_for_user_id::v3::{Request, Response};

use super::asking::{self, Kind};
use crate::edge::{App, Failure, Session};

/// Tells which users of other networks a user ID is.
pub(crate) async fn handle(
    app: Arc<App>,
    _caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    let user_id = ("userid", request.userid.as_str());
    let users = asking::by_identifier(&app, Kind::User, user_id).await;
    Ok(Response::new(users))
}

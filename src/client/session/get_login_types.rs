//! `GET /_matrix/client/*/login`

use std::sync::Arc;

use ruma::api::client::session::get_login_types::v3::{
    LoginType, PasswordLoginType, Request, Response,
};

use crate::edge::{App, Failure};

/// Tells how one may log in.
pub(crate) async fn handle(
    _app: Arc<App>,
    _caller: (),
    _request: Request,
) -> Result<Response, Failure> {
    Ok(Response::new(vec![LoginType::Password(
        PasswordLoginType::new(),
    )]))
}

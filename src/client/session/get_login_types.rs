//! `GET /_matrix/client/*/login`

use std::sync::Arc;

use ruma::api::client::session::get_login_types::v3::{
    LoginType, PasswordLoginType, Request, Response, TokenLoginType,
};
use serde_json::Map;

use crate::edge::{App, Failure};

/// Tells how one may log in.
pub(crate) async fn handle(
    app: Arc<App>,
    _caller: (),
    _request: Request,
) -> Result<Response, Failure> {
    let mut token = TokenLoginType::new();
    token.get_login_token = true;
    let mut flows = vec![
        LoginType::Password(PasswordLoginType::new()),
        LoginType::Token(token),
    ];
    if app.config.jwt.enabled {
        let jwt = LoginType::new("org.matrix.login.jwt", Map::new());
        flows.push(jwt.map_err(Failure::internal)?);
    }
    Ok(Response::new(flows))
}

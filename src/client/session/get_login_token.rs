//! `POST /_matrix/client/*/login/get_token`

use std::{sync::Arc, time::Duration};

use playhouse_actors::passes::PassKind;
use ruma::api::client::session::get_login_token::v1::{Request, Response};

use crate::{
    client::account::stages::prove_identity,
    edge::{App, Failure, Session},
};

/// A login token is good for so long.
pub(crate) const LOGIN_TOKEN_LIFETIME_MS: u64 = 2 * 60 * 1000;

/// Gives a token by which another client can log in, once, as the caller.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    prove_identity(&app, &caller, "login/get_token", request.auth.as_ref()).await?;
    let lifetime_ms = LOGIN_TOKEN_LIFETIME_MS;
    let token = app
        .house
        .make_pass(&caller.user_id, PassKind::Login, lifetime_ms, String::new())
        .await?;
    Ok(Response::new(Duration::from_millis(lifetime_ms), token))
}

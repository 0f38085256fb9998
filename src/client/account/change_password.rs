//! `POST /_matrix/client/*/account/password`

use std::sync::Arc;

use ruma::api::{
    client::account::change_password::v3::{Request, Response},
    error::ErrorCode,
};

use super::stages::prove_password;
use crate::edge::{App, Failure, Session};

/// Changes the caller's password; other sessions end unless the caller wants to keep them.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Option<Session>,
    request: Request,
) -> Result<Response, Failure> {
    // Without a session this is a password reset, which needs a verified e-mail address.
    let caller =
        caller.ok_or_else(|| Failure::new(ErrorCode::MissingToken, "access token is missing"))?;
    let length_min = app.config.registration.password_length_min;
    if (request.new_password.chars().count() as u64) < length_min {
        return Err(Failure::new(
            ErrorCode::WeakPassword,
            format!("a password has at least {length_min} characters"),
        ));
    }
    prove_password(&app, &caller, "account/password", request.auth.as_ref()).await?;
    let logout_except = request
        .logout_devices
        .then_some(caller.device_id.as_deref());
    app.house
        .set_password(&caller.user_id, request.new_password, logout_except)
        .await?;
    Ok(Response::new())
}

//! `POST /_matrix/client/*/account/deactivate`

use std::sync::Arc;

use ruma::api::{
    client::account::deactivate::v3::{Request, Response},
    error::ErrorCode,
};

use super::stages::prove_identity;
use crate::{
    client::threepid::forget,
    edge::{App, Failure, Session},
};

/// Closes the caller's account. That the user leaves all rooms follows from the log.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Option<Session>,
    request: Request,
) -> Result<Response, Failure> {
    let caller =
        caller.ok_or_else(|| Failure::new(ErrorCode::MissingToken, "access token is missing"))?;
    prove_identity(&app, &caller, "account/deactivate", request.auth.as_ref()).await?;
    app.house.deactivate(&caller.user_id, request.erase).await?;
    let known = app.house.threepid_bindings(&caller.user_id).await?;
    let forgotten = forget::unbind(&app, &caller.user_id, known).await?;
    // What was never bound from here is not left bound.
    Ok(Response::new(forget::status(forgotten, true)))
}

//! `POST /_matrix/client/*/account/deactivate`

use std::sync::Arc;

use ruma::api::{
    client::account::{
        ThirdPartyIdRemovalStatus,
        deactivate::v3::{Request, Response},
    },
    error::ErrorCode,
};

use super::stages::prove_password;
use crate::edge::{App, Failure, Session};

/// Closes the caller's account for ever. That the user leaves all rooms follows from the log.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Option<Session>,
    request: Request,
) -> Result<Response, Failure> {
    let caller =
        caller.ok_or_else(|| Failure::new(ErrorCode::MissingToken, "access token is missing"))?;
    prove_password(&app, &caller, "account/deactivate", request.auth.as_ref()).await?;
    app.house.deactivate(&caller.user_id, request.erase).await?;
    // No third-party identifier was ever bound from here, so none is left bound.
    Ok(Response::new(ThirdPartyIdRemovalStatus::Success))
}

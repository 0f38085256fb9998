//! `POST /_matrix/client/*/account/3pid/add`

use std::sync::Arc;

use ruma::api::client::account::add_3pid::v3::{Request, Response};

use crate::{
    client::account::stages::prove_identity,
    edge::{App, Failure, Session},
};

/// Adds an address, which somebody has proven to have, to the caller's account.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    super::check_changes(&app)?;
    prove_identity(&app, &caller, "account/3pid/add", request.auth.as_ref()).await?;
    super::add(
        &app,
        &caller,
        request.sid.as_str(),
        request.client_secret.as_str(),
    )
    .await?;
    Ok(Response::new())
}

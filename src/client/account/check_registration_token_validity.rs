//! `GET /_matrix/client/*/register/m.login.registration_token/validity`

use std::sync::Arc;

use ruma::api::client::account::check_registration_token_validity::v1::{Request, Response};

use crate::edge::{App, Failure};

/// Tells whether a registration token could be used now.
pub(crate) async fn handle(
    app: Arc<App>,
    _caller: (),
    request: Request,
) -> Result<Response, Failure> {
    let valid = app
        .house
        .is_registration_token_valid(&request.token)
        .await?;
    Ok(Response::new(valid))
}

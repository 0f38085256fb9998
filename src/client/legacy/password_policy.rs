//! `GET /_matrix/client/*/password_policy`

use std::sync::Arc;

use ruma::{
    api::{auth_scheme::NoAccessToken, request, response},
    metadata,
};
use serde_json::Value;

use crate::{
    client::account::password_rules,
    edge::{App, Failure},
};

metadata! {
    method: GET,
    rate_limited: false,
    authentication: NoAccessToken,
    history: {
        unstable => "/_matrix/client/unstable/password_policy",
        1.0 => "/_matrix/client/r0/password_policy",
        1.1 => "/_matrix/client/v3/password_policy",
    }
}

/// Asks.
#[request]
pub(crate) struct Request {}

/// Rules for passwords.
#[response]
pub(crate) struct Response {
    /// By name.
    #[ruma_api(body)]
    pub(crate) rules: Value,
}

/// Tells what a password must be like (MSC2000).
pub(crate) async fn handle(
    app: Arc<App>,
    _caller: (),
    _request: Request,
) -> Result<Response, Failure> {
    Ok(Response {
        rules: password_rules::told(&app.config.registration),
    })
}

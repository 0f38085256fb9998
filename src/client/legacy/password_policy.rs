//! `GET /_matrix/client/*/password_policy`

use std::sync::Arc;

use ruma::{
    api::{auth_scheme::NoAccessToken, request, response},
    metadata,
};

use crate::edge::{App, Failure};

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

/// Rules for passwords: there are none but those that every account is made with.
#[response]
pub(crate) struct Response {}

/// Tells what a password must be like: an empty object says that it may be like anything.
pub(crate) async fn handle(
    _app: Arc<App>,
    _caller: (),
    _request: Request,
) -> Result<Response, Failure> {
    Ok(Response {})
}

//! `POST /_matrix/client/*/tokenrefresh`

use std::sync::Arc;

use ruma::{
    api::{auth_scheme::NoAccessToken, request, response},
    metadata,
};

use crate::edge::{App, Failure, RawJson};

metadata! {
    method: POST,
    rate_limited: true,
    authentication: NoAccessToken,
    history: {
        unstable => "/_matrix/client/unstable/tokenrefresh",
        1.0 => "/_matrix/client/r0/tokenrefresh",
        1.1 => "/_matrix/client/v3/tokenrefresh",
    }
}

/// Asks for a new token in exchange for one of a kind that was never given out here.
#[request]
pub(crate) struct Request {}

/// There is no answer.
#[response]
pub(crate) struct Response {}

/// Refuses: tokens are refreshed by `/refresh`.
pub(crate) async fn handle(
    _app: Arc<App>,
    _caller: (),
    _request: Request,
) -> Result<RawJson, Failure> {
    Err(Failure::forbidden("tokens are not refreshed this way: use /refresh").with_status(403))
}

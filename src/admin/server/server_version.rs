//! `GET /_synapse/admin/v1/server_version`

use std::sync::Arc;

use ruma::{
    api::{auth_scheme::NoAuthentication, request, response},
    metadata,
};

use crate::edge::{App, Failure};

metadata! {
    method: GET,
    rate_limited: true,
    authentication: NoAuthentication,
    path: "/_synapse/admin/v1/server_version",
}

/// Asks.
#[request]
pub(crate) struct Request {}

/// What runs here.
#[response]
pub(crate) struct Response {
    /// Name and version.
    pub(crate) server_version: String,
}

/// Tells whoever asks which version of Playhouse runs here: tools ask before anybody has logged in.
pub(crate) async fn handle(
    _app: Arc<App>,
    _caller: (),
    _request: Request,
) -> Result<Response, Failure> {
    Ok(Response {
        server_version: format!("Playhouse {}", env!("CARGO_PKG_VERSION")),
    })
}

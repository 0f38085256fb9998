//! `GET /_synapse/admin/v1/server_version`

use std::sync::Arc;

use ruma::{
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};

use crate::{
    admin::only_administrators,
    edge::{App, Failure, Session},
};

metadata! {
    method: GET,
    rate_limited: false,
    authentication: AccessToken,
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

/// Tells an administrator which version of Playhouse runs here.
pub(crate) async fn handle(
    _app: Arc<App>,
    caller: Session,
    _request: Request,
) -> Result<Response, Failure> {
    only_administrators(&caller)?;
    Ok(Response {
        server_version: format!("Playhouse {}", env!("CARGO_PKG_VERSION")),
    })
}

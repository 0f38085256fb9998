//! `GET /_playhouse/admin/v1/whoami`

use std::sync::Arc;

use ruma::{
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};

use crate::edge::{Admin, App, Failure};

metadata! {
    method: GET,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_playhouse/admin/v1/whoami",
}

/// Asks.
#[request]
pub(crate) struct Request {}

/// Who asks, and whom.
#[response]
pub(crate) struct Response {
    /// As whom changes are noted: the user ID, or `token:` and the ID of the token.
    pub(crate) name: String,
    /// Every role whose endpoints are open to the caller.
    pub(crate) roles: Vec<String>,
    /// The name of the server.
    pub(crate) server_name: String,
    /// The version of the program.
    pub(crate) version: String,
    /// The node that answers; null where there is only one.
    pub(crate) node: Option<String>,
}

/// Tells a caller what its token opens.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Admin,
    _request: Request,
) -> Result<Response, Failure> {
    let roles = caller.roles().map(ToOwned::to_owned).collect();
    Ok(Response {
        name: caller.name,
        roles,
        server_name: app.config.server.name.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        node: app.house.ward().map(|ward| ward.name().to_string()),
    })
}

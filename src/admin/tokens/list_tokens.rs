//! `GET /_playhouse/admin/v1/tokens`

use std::sync::Arc;

use ruma::{
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};

use super::Shown;
use crate::edge::{Admin, App, Failure};

metadata! {
    method: GET,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_playhouse/admin/v1/tokens",
}

/// Asks.
#[request]
pub(crate) struct Request {}

/// All of them: there are never many.
#[response]
pub(crate) struct Response {
    /// Those that are good.
    pub(crate) tokens: Vec<Shown>,
}

/// Tells which tools may use the admin API.
pub(crate) async fn handle(
    app: Arc<App>,
    _caller: Admin,
    _request: Request,
) -> Result<Response, Failure> {
    let known = app.house.admin_tokens().await?;
    Ok(Response {
        tokens: known.into_iter().map(Shown::from).collect(),
    })
}

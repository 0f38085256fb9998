//! `GET /_playhouse/admin/v1/policies`

use std::sync::Arc;

use ruma::{
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};

use super::{Shown, ShownRun};
use crate::edge::{Admin, App, Failure};

metadata! {
    method: GET,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_playhouse/admin/v1/policies",
}

/// Asks for all of them.
#[request]
pub(crate) struct Request {}

/// Policies and runs.
#[response]
pub(crate) struct Response {
    /// By name.
    pub(crate) policies: Vec<Shown>,
    /// Those that are remembered, the newest first.
    pub(crate) runs: Vec<ShownRun>,
}

/// Lists the policies, and when which of them was applied.
pub(crate) async fn handle(
    app: Arc<App>,
    _caller: Admin,
    _request: Request,
) -> Result<Response, Failure> {
    let told = app.house.policies().await?;
    Ok(Response {
        policies: told.policies.into_iter().map(Shown::from).collect(),
        runs: told.runs.into_iter().map(ShownRun::from).collect(),
    })
}

//! `GET /_playhouse/admin/v1/policies/{policy}`

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
    path: "/_playhouse/admin/v1/policies/{policy}",
}

/// Names a policy.
#[request]
pub(crate) struct Request {
    /// Its name.
    #[ruma_api(path)]
    pub(crate) policy: String,
}

/// The policy and its runs.
#[response]
pub(crate) struct Response {
    /// What it matches; null when it was struck out.
    pub(crate) policy: Option<Shown>,
    /// Those that are remembered, the newest first.
    pub(crate) runs: Vec<ShownRun>,
}

/// Shows one policy, and when it was applied.
pub(crate) async fn handle(
    app: Arc<App>,
    _caller: Admin,
    request: Request,
) -> Result<Response, Failure> {
    let told = app.house.policy(&request.policy).await?;
    Ok(Response {
        policy: told.policies.into_iter().next().map(Shown::from),
        runs: told.runs.into_iter().map(ShownRun::from).collect(),
    })
}

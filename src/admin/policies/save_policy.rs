//! `PUT /_playhouse/admin/v1/policies/{policy}`

use std::sync::Arc;

use ruma::{
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};

use super::Rule;
use crate::edge::{Admin, App, Failure};

metadata! {
    method: PUT,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_playhouse/admin/v1/policies/{policy}",
}

/// A policy that is to be written down.
#[request]
pub(crate) struct Request {
    /// Its name.
    #[ruma_api(path)]
    pub(crate) policy: String,
    /// What it matches.
    #[ruma_api(body)]
    pub(crate) rule: Rule,
}

/// It is written down.
#[response]
pub(crate) struct Response {}

/// Writes a policy down, in place of one of the same name. It does nothing until it is applied.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Admin,
    request: Request,
) -> Result<Response, Failure> {
    let rule = request.rule.into();
    app.house
        .save_policy(&request.policy, rule, &caller.name)
        .await?;
    Ok(Response {})
}

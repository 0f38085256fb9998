//! `DELETE /_playhouse/admin/v1/policies/{policy}`

use std::sync::Arc;

use ruma::{
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};

use crate::edge::{Admin, App, Failure};

metadata! {
    method: DELETE,
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

/// It is struck out.
#[response]
pub(crate) struct Response {}

/// Strikes a policy out. What it did stays as it is.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Admin,
    request: Request,
) -> Result<Response, Failure> {
    app.house
        .delete_policy(&request.policy, &caller.name)
        .await?;
    Ok(Response {})
}

//! `DELETE /_playhouse/admin/v1/tokens/{id}`

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
    path: "/_playhouse/admin/v1/tokens/{id}",
}

/// Names a token.
#[request]
pub(crate) struct Request {
    /// As it was told when it was made.
    #[ruma_api(path)]
    pub(crate) id: String,
}

/// It is good no more.
#[response]
pub(crate) struct Response {}

/// Ends a token of a tool at once.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Admin,
    request: Request,
) -> Result<Response, Failure> {
    let by = caller.name;
    app.house.revoke_admin_token(&request.id, &by).await?;
    Ok(Response {})
}

//! `GET /_playhouse/admin/v1/audit/{id}`

use std::sync::Arc;

use ruma::{
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};

use super::{Shown, number};
use crate::edge::{Admin, App, Failure};

metadata! {
    method: GET,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_playhouse/admin/v1/audit/{id}",
}

/// Names a change.
#[request]
pub(crate) struct Request {
    /// Its number.
    #[ruma_api(path)]
    pub(crate) id: String,
}

/// The change.
#[response]
pub(crate) struct Response {
    /// All of it.
    #[ruma_api(body)]
    pub(crate) change: Shown,
}

/// Tells everything about one change.
pub(crate) async fn handle(
    app: Arc<App>,
    _caller: Admin,
    request: Request,
) -> Result<Response, Failure> {
    let change = app.house.noted_change(number(&request.id)?).await?;
    Ok(Response {
        change: Shown::from(change),
    })
}

//! `GET /_playhouse/admin/v1/joins`

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
    path: "/_playhouse/admin/v1/joins",
}

/// Asks for them.
#[request]
pub(crate) struct Request {}

/// Joins that are under way.
#[response]
pub(crate) struct Response {
    /// By room and user; there are at most a thousand.
    pub(crate) joins: Vec<Shown>,
}

/// Tells which users of this server are on the way into rooms through other servers, and how far they are.
pub(crate) async fn handle(
    app: Arc<App>,
    _caller: Admin,
    _request: Request,
) -> Result<Response, Failure> {
    let joins = app.house.joins_under_way().await?;
    Ok(Response {
        joins: joins.into_iter().map(Shown::from).collect(),
    })
}

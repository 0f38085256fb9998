//! `POST /_playhouse/admin/v1/cluster/nodes/{node}/drain`

use std::sync::Arc;

use ruma::{
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};

use super::give;
use crate::{
    cluster::orders::Order,
    edge::{Admin, App, Failure},
};

metadata! {
    method: POST,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_playhouse/admin/v1/cluster/nodes/{node}/drain",
}

/// Names a node.
#[request]
pub(crate) struct Request {
    /// What the operator calls it.
    #[ruma_api(path)]
    pub(crate) node: String,
}

/// The nodes do it with their next beat.
#[response]
pub(crate) struct Response {}

/// Lets a node give all its shards away, and keeps new ones from it.
pub(crate) async fn handle(
    app: Arc<App>,
    _caller: Admin,
    request: Request,
) -> Result<Response, Failure> {
    give(&app, Order::Drain(request.node)).await?;
    Ok(Response {})
}

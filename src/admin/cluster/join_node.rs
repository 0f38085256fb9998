//! `POST /_playhouse/admin/v1/cluster/nodes/{node}/join`

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
    path: "/_playhouse/admin/v1/cluster/nodes/{node}/join",
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

/// Lets a node take shards again.
pub(crate) async fn handle(
    app: Arc<App>,
    _caller: Admin,
    request: Request,
) -> Result<Response, Failure> {
    give(&app, Order::Join(request.node)).await?;
    Ok(Response {})
}

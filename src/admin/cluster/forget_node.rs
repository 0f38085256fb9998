//! `POST /_playhouse/admin/v1/cluster/nodes/{node}/leave`

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
    path: "/_playhouse/admin/v1/cluster/nodes/{node}/leave",
}

/// Names a node that has ended.
#[request]
pub(crate) struct Request {
    /// What the operator calls it.
    #[ruma_api(path)]
    pub(crate) node: String,
    /// It is dead although its lease still runs. If it lives it loses what it has, and comes back as if it were new.
    #[serde(default)]
    pub(crate) dead: bool,
}

/// It is forgotten, and its shards are free.
#[response]
pub(crate) struct Response {}

/// Forgets a node that has ended. One that ends by itself leaves by itself.
pub(crate) async fn handle(
    app: Arc<App>,
    _caller: Admin,
    request: Request,
) -> Result<Response, Failure> {
    give(&app, Order::Forget(request.node, request.dead)).await?;
    Ok(Response {})
}

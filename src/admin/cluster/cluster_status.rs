//! `GET /_playhouse/admin/v1/cluster`

use std::sync::Arc;

use ruma::{
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};

use super::ward;
use crate::{
    cluster::status::{NodeStatus, ShardStatus, Status},
    edge::{Admin, App, Failure},
};

metadata! {
    method: GET,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_playhouse/admin/v1/cluster",
}

/// Asks.
#[request]
pub(crate) struct Request {}

/// How it stands.
#[response]
pub(crate) struct Response {
    /// The node that answers.
    pub(crate) node: String,
    /// All nodes, the dead among them until they are forgotten.
    pub(crate) nodes: Vec<NodeStatus>,
    /// All shards.
    pub(crate) shards: Vec<ShardStatus>,
}

/// Tells an administrator which nodes live and which of them holds which shard.
pub(crate) async fn handle(
    app: Arc<App>,
    _caller: Admin,
    _request: Request,
) -> Result<Response, Failure> {
    let ward = ward(&app)?;
    let view = ward.register().view().await.map_err(Failure::internal)?;
    let Status { nodes, shards } = Status::of(&view);
    Ok(Response {
        node: ward.name().to_string(),
        nodes,
        shards,
    })
}

//! `GET /_playhouse/admin/v1/cluster`

use std::sync::Arc;

use ruma::{
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};

use super::ward;
use crate::{
    cluster::status::{HotStatus, MoveStatus, NodeStatus, ReaderStatus, ShardStatus, Status},
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
    /// Those that are on their way.
    pub(crate) moves: Vec<MoveStatus>,
    /// Folds and followers of the log.
    pub(crate) readers: Vec<ReaderStatus>,
    /// Rooms that are written much.
    pub(crate) hot_rooms: Vec<HotStatus>,
    /// Roles that no living node has.
    pub(crate) missing_roles: Vec<String>,
}

/// Tells an administrator which nodes live, which of them holds which shard, and how busy they are.
pub(crate) async fn handle(
    app: Arc<App>,
    _caller: Admin,
    _request: Request,
) -> Result<Response, Failure> {
    let ward = ward(&app)?;
    let view = ward.answered(ward.register().view()).await?;
    let status = Status::of(&view);
    Ok(Response {
        node: ward.name().to_string(),
        nodes: status.nodes,
        shards: status.shards,
        moves: status.moves,
        readers: status.readers,
        hot_rooms: status.hot_rooms,
        missing_roles: status.missing_roles,
    })
}

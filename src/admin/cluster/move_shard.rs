//! `POST /_playhouse/admin/v1/cluster/shards/{family}/{number}/move`

use std::sync::Arc;

use ruma::{
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};

use super::{give, shard};
use crate::{
    cluster::orders::Order,
    edge::{Admin, App, Failure},
};

metadata! {
    method: POST,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_playhouse/admin/v1/cluster/shards/{family}/{number}/move",
}

/// Says where a shard shall go.
#[request]
pub(crate) struct Request {
    /// `rooms`, `users` or `servers`.
    #[ruma_api(path)]
    pub(crate) family: String,
    /// Which of them.
    #[ruma_api(path)]
    pub(crate) number: String,
    /// To this node.
    pub(crate) node: String,
}

/// The nodes do it with their next beat.
#[response]
pub(crate) struct Response {}

/// Moves a shard. It may move on as loads change: see `pin`.
pub(crate) async fn handle(
    app: Arc<App>,
    _caller: Admin,
    request: Request,
) -> Result<Response, Failure> {
    let shard = shard(&app, &request.family, &request.number)?;
    give(&app, Order::Move(shard, request.node)).await?;
    Ok(Response {})
}

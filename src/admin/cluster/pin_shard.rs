//! `PUT` and `DELETE /_playhouse/admin/v1/cluster/shards/{family}/{number}/pin`

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
    method: PUT,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_playhouse/admin/v1/cluster/shards/{family}/{number}/pin",
}

/// Says where a shard shall be.
#[request]
pub(crate) struct Request {
    /// `rooms`, `users` or `servers`.
    #[ruma_api(path)]
    pub(crate) family: String,
    /// Which of them.
    #[ruma_api(path)]
    pub(crate) number: String,
    /// On this node, as long as it lives.
    pub(crate) node: String,
    /// The node gives away whatever is not pinned to it.
    #[serde(default)]
    pub(crate) alone: bool,
}

/// The nodes do it with their next beat.
#[response]
pub(crate) struct Response {}

/// Pins a shard to a node, whatever the load.
pub(crate) async fn handle(
    app: Arc<App>,
    _caller: Admin,
    request: Request,
) -> Result<Response, Failure> {
    let shard = shard(&app, &request.family, &request.number)?;
    give(&app, Order::Pin(shard, request.node, request.alone)).await?;
    Ok(Response {})
}

/// No more.
pub(crate) mod undo {
    use super::{
        AccessToken, Admin, App, Arc, Failure, Order, give, metadata, request, response, shard,
    };

    metadata! {
        method: DELETE,
        rate_limited: false,
        authentication: AccessToken,
        path: "/_playhouse/admin/v1/cluster/shards/{family}/{number}/pin",
    }

    /// Names a shard.
    #[request]
    pub(crate) struct Request {
        /// `rooms`, `users` or `servers`.
        #[ruma_api(path)]
        pub(crate) family: String,
        /// Which of them.
        #[ruma_api(path)]
        pub(crate) number: String,
    }

    /// It is so.
    #[response]
    pub(crate) struct Response {}

    /// Lets a shard be anywhere again.
    pub(crate) async fn handle(
        app: Arc<App>,
        _caller: Admin,
        request: Request,
    ) -> Result<Response, Failure> {
        let shard = shard(&app, &request.family, &request.number)?;
        give(&app, Order::Unpin(shard)).await?;
        Ok(Response {})
    }
}

//! `PUT` and `DELETE /_playhouse/admin/v1/cluster/rooms/{room_id}/pin`

use std::sync::Arc;

use playhouse_schema::address::{Entity, Shard};
use ruma::{
    OwnedRoomId, RoomId,
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};

use super::give;
use crate::{
    cluster::orders::Order,
    edge::{Admin, App, Failure},
};

metadata! {
    method: PUT,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_playhouse/admin/v1/cluster/rooms/{room_id}/pin",
}

/// Says where a room shall be.
#[request]
pub(crate) struct Request {
    /// The room; others lie in the same shard and go with it.
    #[ruma_api(path)]
    pub(crate) room_id: OwnedRoomId,
    /// On this node, as long as it lives.
    pub(crate) node: String,
    /// The node gives away whatever is not pinned to it.
    #[serde(default)]
    pub(crate) alone: bool,
}

/// The nodes do it with their next beat.
#[response]
pub(crate) struct Response {
    /// The shard in which the room lies.
    pub(crate) shard: String,
}

/// Pins the shard of a room to a node, whatever the load.
pub(crate) async fn handle(
    app: Arc<App>,
    _caller: Admin,
    request: Request,
) -> Result<Response, Failure> {
    let shard = shard_of(&app, &request.room_id);
    give(&app, Order::Pin(shard, request.node, request.alone)).await?;
    Ok(Response {
        shard: shard.to_string(),
    })
}

fn shard_of(app: &App, room_id: &RoomId) -> Shard {
    let layout = app.house.store().layout();
    layout.shard_of(&Entity::room(room_id.as_str()))
}

/// No more.
pub(crate) mod undo {
    use super::{
        AccessToken, Admin, App, Arc, Failure, Order, OwnedRoomId, give, metadata, request,
        response, shard_of,
    };

    metadata! {
        method: DELETE,
        rate_limited: false,
        authentication: AccessToken,
        path: "/_playhouse/admin/v1/cluster/rooms/{room_id}/pin",
    }

    /// Names a room.
    #[request]
    pub(crate) struct Request {
        /// The room.
        #[ruma_api(path)]
        pub(crate) room_id: OwnedRoomId,
    }

    /// It is so.
    #[response]
    pub(crate) struct Response {}

    /// Lets the shard of a room be anywhere again.
    pub(crate) async fn handle(
        app: Arc<App>,
        _caller: Admin,
        request: Request,
    ) -> Result<Response, Failure> {
        let shard = shard_of(&app, &request.room_id);
        give(&app, Order::Unpin(shard)).await?;
        Ok(Response {})
    }
}

//! `GET /_matrix/federation/unstable/rooms/{roomId}/complexity`

use std::sync::Arc;

use playhouse_actors::house::COMPLEXITY_UNIT;
use ruma::{
    OwnedRoomId,
    api::{federation::authentication::ServerSignatures, request, response},
    metadata,
};

use crate::edge::{App, Failure, Peer};

metadata! {
    method: GET,
    rate_limited: false,
    authentication: ServerSignatures,
    path: "/_matrix/federation/unstable/rooms/{room_id}/complexity",
}

/// Names a room.
#[request]
pub(crate) struct Request {
    /// Which.
    #[ruma_api(path)]
    pub(crate) room_id: OwnedRoomId,
}

/// How much a room takes.
#[response]
pub(crate) struct Response {
    /// By the first way to measure it: state events, in units of 500.
    pub(crate) v1: f64,
}

/// Tells how much state a room has.
pub(crate) async fn handle(
    app: Arc<App>,
    peer: Peer,
    request: Request,
) -> Result<Response, Failure> {
    let house = &app.house;
    let (_, standing) = house
        .room_seen_by_peer(&peer.origin, &request.room_id)
        .await?;
    Ok(Response {
        v1: standing.state_events as f64 / COMPLEXITY_UNIT,
    })
}

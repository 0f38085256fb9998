//! `GET /_matrix/federation/unstable/org.matrix.msc4370/extremities/{roomId}`

use std::sync::Arc;

use playhouse_actors::room::peer::{PeerAnswer, PeerQuestion};
use ruma::{
    OwnedEventId, OwnedRoomId,
    api::{federation::authentication::ServerSignatures, request, response},
    metadata,
};

use crate::{
    edge::{App, Failure, Peer},
    federation_api::ask_room,
};

metadata! {
    method: GET,
    rate_limited: false,
    authentication: ServerSignatures,
    path: "/_matrix/federation/unstable/org.matrix.msc4370/extremities/{room_id}",
}

/// Names a room.
#[request]
pub(crate) struct Request {
    /// Which.
    #[ruma_api(path)]
    pub(crate) room_id: OwnedRoomId,
}

/// The ends of the event graph.
#[response]
pub(crate) struct Response {
    /// What the next event would follow upon.
    pub(crate) prev_events: Vec<OwnedEventId>,
}

/// Tells upon which events the next one would follow.
pub(crate) async fn handle(
    app: Arc<App>,
    peer: Peer,
    request: Request,
) -> Result<Response, Failure> {
    match ask_room(&app, &peer, (&request.room_id, PeerQuestion::Extremities)).await? {
        PeerAnswer::Ids(prev_events) => Ok(Response { prev_events }),
        _ => Err(Failure::internal("unexpected answer to Extremities")),
    }
}

//! `PUT /_matrix/federation/v1/send_join/{roomId}/{eventId}`: removed from the specification in version 1.18, still asked by older servers.

use std::sync::Arc;

use playhouse_actors::{house::HandedPdu, room::peer::Handshake};
use ruma::{
    OwnedEventId, OwnedRoomId,
    api::{federation::authentication::ServerSignatures, request, response},
    metadata,
};
use serde_json::value::RawValue;

use crate::{
    edge::{App, Failure, Peer, RawJson},
    federation_api::membership::{hand_over, joined, with_status},
};

metadata! {
    method: PUT,
    rate_limited: false,
    authentication: ServerSignatures,
    path: "/_matrix/federation/v1/send_join/{room_id}/{event_id}",
}

/// A join.
#[request]
pub(crate) struct Request {
    /// Where.
    #[ruma_api(path)]
    pub(crate) room_id: OwnedRoomId,
    /// The event's ID.
    #[ruma_api(path)]
    pub(crate) event_id: OwnedEventId,
    /// The event.
    #[ruma_api(body)]
    pub(crate) pdu: Box<RawValue>,
}

/// Written by hand: a list of the status and what version 2 answers.
#[response]
pub(crate) struct Response {}

/// Takes in a join.
pub(crate) async fn handle(
    app: Arc<App>,
    peer: Peer,
    request: Request,
) -> Result<RawJson, Failure> {
    let handed = HandedPdu {
        room_id: &request.room_id,
        event_id: &request.event_id,
        json: request.pdu.get(),
    };
    let omit_members = false;
    let handshake = Handshake::Join { omit_members };
    let told = hand_over(&app, &peer, handshake, handed).await?;
    Ok(with_status(&joined(&told)?))
}

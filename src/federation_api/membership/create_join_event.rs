//! `PUT /_matrix/federation/v2/send_join/{roomId}/{eventId}`

use std::sync::Arc;

use playhouse_actors::{house::HandedPdu, room::peer::Handshake};
use ruma::api::federation::membership::create_join_event::v2::Request;

use crate::{
    edge::{App, Failure, Peer, RawJson},
    federation_api::membership::{hand_over, joined},
};

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
    let omit_members = request.omit_members;
    let handshake = Handshake::Join { omit_members };
    let told = hand_over(&app, &peer, handshake, handed).await?;
    joined(&told)
}

//! `PUT /_matrix/federation/v1/send_knock/{roomId}/{eventId}`

use std::sync::Arc;

use playhouse_actors::{house::HandedPdu, room::peer::Handshake};
use ruma::api::federation::membership::create_knock_event::v1::Request;

use crate::{
    client::page::Object,
    edge::{App, Failure, Peer, RawJson},
    federation_api::membership::hand_over,
};

/// Takes in a knock, and tells what the room is.
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
    let told = hand_over(&app, &peer, Handshake::Knock, handed).await?;
    Ok(Object::new()
        .array("knock_room_state", &told.state)
        .finish())
}

//! `PUT /_matrix/federation/v2/send_leave/{roomId}/{eventId}`

use std::sync::Arc;

use playhouse_actors::{house::HandedPdu, room::peer::Handshake};
use ruma::api::federation::membership::create_leave_event::v2::{Request, Response};

use crate::{
    edge::{App, Failure, Peer},
    federation_api::membership::hand_over,
};

/// Takes in a leave.
pub(crate) async fn handle(
    app: Arc<App>,
    peer: Peer,
    request: Request,
) -> Result<Response, Failure> {
    let handed = HandedPdu {
        room_id: &request.room_id,
        event_id: &request.event_id,
        json: request.pdu.get(),
    };
    hand_over(&app, &peer, Handshake::Leave, handed).await?;
    Ok(Response::new())
}

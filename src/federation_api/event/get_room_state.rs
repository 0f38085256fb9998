//! `GET /_matrix/federation/v1/state/{roomId}`

use std::sync::Arc;

use playhouse_actors::room::peer::{PeerAnswer, PeerQuestion};
use ruma::api::federation::event::get_room_state::v1::Request;

use crate::{
    client::page::Object,
    edge::{App, Failure, Peer, RawJson},
    federation_api::ask_room,
};

/// Tells the state before an event.
pub(crate) async fn handle(
    app: Arc<App>,
    peer: Peer,
    request: Request,
) -> Result<RawJson, Failure> {
    let question = PeerQuestion::State {
        event_id: request.event_id,
    };
    match ask_room(&app, &peer, (&request.room_id, question)).await? {
        PeerAnswer::State { pdus, auth_chain } => Ok(Object::new()
            .array("auth_chain", &auth_chain)
            .array("pdus", &pdus)
            .finish()),
        _ => Err(Failure::internal("unexpected answer to State")),
    }
}

//! `GET /_matrix/federation/v1/state_ids/{roomId}`

use std::sync::Arc;

use bytes::Bytes;
use playhouse_actors::room::peer::{PeerAnswer, PeerQuestion};
use ruma::api::federation::event::get_room_state_ids::v1::Request;
use serde_json::json;

use crate::{
    edge::{App, Failure, Peer, RawJson},
    federation_api::ask_room,
};

/// Tells the state before an event by IDs.
pub(crate) async fn handle(
    app: Arc<App>,
    peer: Peer,
    request: Request,
) -> Result<RawJson, Failure> {
    let question = PeerQuestion::StateIds {
        event_id: request.event_id,
    };
    match ask_room(&app, &peer, (&request.room_id, question)).await? {
        PeerAnswer::StateIds {
            pdu_ids,
            auth_chain_ids,
        } => {
            let ids = json!({"auth_chain_ids": auth_chain_ids, "pdu_ids": pdu_ids});
            Ok(RawJson(Bytes::from(ids.to_string())))
        }
        _ => Err(Failure::internal("unexpected answer to StateIds")),
    }
}

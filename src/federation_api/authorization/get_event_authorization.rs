//! `GET /_matrix/federation/v1/event_auth/{roomId}/{eventId}`

use std::sync::Arc;

use playhouse_actors::room::peer::PeerQuestion;
use ruma::api::federation::authorization::get_event_authorization::v1::Request;

use crate::{
    client::page::Object,
    edge::{App, Failure, Peer, RawJson},
    federation_api::events_of,
};

/// Tells the auth chain of an event.
pub(crate) async fn handle(
    app: Arc<App>,
    peer: Peer,
    request: Request,
) -> Result<RawJson, Failure> {
    let question = PeerQuestion::AuthChain {
        event_id: request.event_id,
    };
    let chain = events_of(&app, &peer, (&request.room_id, question)).await?;
    Ok(Object::new().array("auth_chain", &chain).finish())
}

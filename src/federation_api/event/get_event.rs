//! `GET /_matrix/federation/v1/event/{eventId}`

use std::sync::Arc;

use ruma::api::federation::event::get_event::v1::Request;

use crate::{
    edge::{App, Failure, Peer, RawJson},
    federation_api::transaction,
};

/// Tells an event, in whichever room it is.
pub(crate) async fn handle(
    app: Arc<App>,
    peer: Peer,
    request: Request,
) -> Result<RawJson, Failure> {
    let house = &app.house;
    let event = house
        .event_for_peer(&peer.origin, &request.event_id)
        .await?;
    Ok(transaction(&app, &[event]))
}

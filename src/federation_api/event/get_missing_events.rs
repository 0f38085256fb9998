//! `POST /_matrix/federation/v1/get_missing_events/{roomId}`

use std::sync::Arc;

use playhouse_actors::room::peer::{MissingEvents, PeerQuestion};
use ruma::api::federation::event::get_missing_events::v1::Request;

use crate::{
    client::page::Object,
    edge::{App, Failure, Peer, RawJson},
    federation_api::events_of,
};

/// Tells what lies between events.
pub(crate) async fn handle(
    app: Arc<App>,
    peer: Peer,
    request: Request,
) -> Result<RawJson, Failure> {
    let question = PeerQuestion::MissingEvents(MissingEvents {
        earliest: request.earliest_events,
        latest: request.latest_events,
        limit: usize::try_from(u64::from(request.limit)).unwrap_or(usize::MAX),
        min_depth: request.min_depth.into(),
    });
    let events = events_of(&app, &peer, (&request.room_id, question)).await?;
    Ok(Object::new().array("events", &events).finish())
}

//! `GET /_matrix/federation/v1/backfill/{roomId}`

use std::sync::Arc;

use playhouse_actors::room::peer::PeerQuestion;
use ruma::api::federation::backfill::get_backfill::v1::Request;

use crate::{
    edge::{App, Failure, Peer, RawJson},
    federation_api::{events_of, transaction},
};

/// Tells events and what precedes them.
pub(crate) async fn handle(
    app: Arc<App>,
    peer: Peer,
    request: Request,
) -> Result<RawJson, Failure> {
    if request.v.is_empty() {
        return Err(Failure::missing_param("v is missing"));
    }
    let question = PeerQuestion::Backfill {
        from: request.v,
        limit: usize::try_from(u64::from(request.limit)).unwrap_or(usize::MAX),
    };
    let events = events_of(&app, &peer, (&request.room_id, question)).await?;
    Ok(transaction(&app, &events))
}

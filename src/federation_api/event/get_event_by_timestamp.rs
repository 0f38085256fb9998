//! `GET /_matrix/federation/v1/timestamp_to_event/{roomId}`

use std::sync::Arc;

use playhouse_actors::room::peer::{PeerAnswer, PeerQuestion};
use ruma::{
    MilliSecondsSinceUnixEpoch, UInt,
    api::{
        Direction,
        federation::event::get_event_by_timestamp::v1::{Request, Response},
    },
};

use crate::{
    edge::{App, Failure, Peer},
    federation_api::ask_room,
};

/// Tells the event closest to a time.
pub(crate) async fn handle(
    app: Arc<App>,
    peer: Peer,
    request: Request,
) -> Result<Response, Failure> {
    let question = PeerQuestion::EventAt {
        ts_ms: request.ts.0.into(),
        backwards: request.dir == Direction::Backward,
    };
    match ask_room(&app, &peer, (&request.room_id, question)).await? {
        PeerAnswer::Found(found) => Ok(Response::new(
            found.event_id,
            MilliSecondsSinceUnixEpoch(UInt::new_saturating(found.sent_ms)),
        )),
        _ => Err(Failure::internal("unexpected answer to EventAt")),
    }
}

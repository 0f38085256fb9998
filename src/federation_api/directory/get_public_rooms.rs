//! `GET /_matrix/federation/v1/publicRooms`

use std::sync::Arc;

use ruma::{
    api::federation::directory::get_public_rooms::v1::{Request, Response},
    directory::RoomNetwork,
};

use crate::{
    client::directory::listing,
    edge::{App, Failure, Peer},
};

/// Lists public rooms.
pub(crate) async fn handle(
    app: Arc<App>,
    _peer: Peer,
    request: Request,
) -> Result<Response, Failure> {
    let mut response = Response::new();
    // The rooms of a bridge's network are listed by the bridge; there is none.
    if matches!(request.room_network, RoomNetwork::ThirdParty(_)) {
        return Ok(response);
    }
    let paging = (request.limit, request.since.as_deref());
    let wish = listing::wish(paging)?;
    let shown = listing::show(app.house.public_rooms(wish).await?);
    response.chunk = shown.chunk;
    response.next_batch = shown.next_batch;
    response.prev_batch = shown.prev_batch;
    response.total_room_count_estimate = shown.total;
    Ok(response)
}

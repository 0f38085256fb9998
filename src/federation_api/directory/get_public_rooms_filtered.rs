//! `POST /_matrix/federation/v1/publicRooms`

use std::sync::Arc;

use ruma::{
    api::federation::directory::get_public_rooms_filtered::v1::{Request, Response},
    directory::RoomNetwork,
};

use crate::{
    client::directory::listing,
    edge::{App, Failure, Peer},
};

/// Searches public rooms.
pub(crate) async fn handle(
    app: Arc<App>,
    _peer: Peer,
    request: Request,
) -> Result<Response, Failure> {
    let paging = (request.limit, request.since.as_deref());
    let mut wish = listing::wish(paging)?;
    wish.term = request.filter.generic_search_term;
    wish.room_types = request
        .filter
        .room_types
        .iter()
        .map(|room_type| room_type.as_str().map(ToOwned::to_owned))
        .collect();
    listing::check_filter(wish.term.as_deref(), &wish.room_types)?;
    let mut response = Response::new();
    if matches!(request.room_network, RoomNetwork::ThirdParty(_)) {
        return Ok(response);
    }
    let shown = listing::show(app.house.public_rooms(wish).await?);
    response.chunk = shown.chunk;
    response.next_batch = shown.next_batch;
    response.prev_batch = shown.prev_batch;
    response.total_room_count_estimate = shown.total;
    Ok(response)
}

//! `POST /_matrix/client/*/publicRooms`

use std::sync::Arc;

use ruma::{
    api::client::directory::get_public_rooms_filtered::v3::{Request, Response},
    directory::RoomNetwork,
};

use super::listing;
use crate::edge::{App, Failure, Session};

/// Searches public rooms.
pub(crate) async fn handle(
    app: Arc<App>,
    _caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    let paging = (request.limit, request.since.as_deref());
    let mut wish = listing::wish(&app, request.server.as_ref(), paging)?;
    wish.term = request.filter.generic_search_term;
    wish.room_types = request
        .filter
        .room_types
        .iter()
        .map(|room_type| room_type.as_str().map(ToOwned::to_owned))
        .collect();
    listing::check_filter(&wish)?;
    let mut response = Response::new();
    // The rooms of a bridge's network are listed by the bridge; there is none.
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

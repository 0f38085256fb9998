//! `POST /_matrix/client/*/publicRooms`

use std::sync::Arc;

use ruma::{
    api::client::directory::get_public_rooms_filtered::v3::{Request, Response},
    directory::{Filter, RoomNetwork},
};

use super::listing;
use crate::edge::{App, Failure, Session};

/// Searches public rooms.
pub(crate) async fn handle(
    app: Arc<App>,
    _caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    let (term, room_types) = sought(request.filter);
    listing::check_filter(term.as_deref(), &room_types)?;
    let mut response = Response::new();
    let shown = match listing::elsewhere(&app, request.server.as_ref()) {
        Some(server) => {
            let mut wish = listing::remote_wish((request.limit, request.since));
            (wish.term, wish.room_types) = (term, room_types);
            wish.network = match request.room_network {
                RoomNetwork::All => Some(String::new()),
                RoomNetwork::ThirdParty(network) => Some(network),
                _ => None,
            };
            listing::show_remote(app.house.public_rooms_of(server, wish).await?)
        }
        // The rooms of a bridge's network are listed by the bridge; there is none.
        None if matches!(request.room_network, RoomNetwork::ThirdParty(_)) => return Ok(response),
        None => {
            let mut wish = listing::wish((request.limit, request.since.as_deref()))?;
            (wish.term, wish.room_types) = (term, room_types);
            listing::show(app.house.public_rooms(wish).await?)
        }
    };
    response.chunk = shown.chunk;
    response.next_batch = shown.next_batch;
    response.prev_batch = shown.prev_batch;
    response.total_room_count_estimate = shown.total;
    Ok(response)
}

/// The term and the types of a filter.
fn sought(filter: Filter) -> (Option<String>, Vec<Option<String>>) {
    let types = filter.room_types.iter();
    let types = types.map(|room_type| room_type.as_str().map(ToOwned::to_owned));
    (filter.generic_search_term, types.collect())
}

//! `GET /_matrix/client/*/publicRooms`

use std::sync::Arc;

use ruma::api::{
    client::directory::get_public_rooms::v3::{Request, Response},
    error::ErrorCode,
};

use super::listing;
use crate::edge::{App, Failure, Session};

/// Lists public rooms; whether everybody may read it is a setting.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Option<Session>,
    request: Request,
) -> Result<Response, Failure> {
    if caller.is_none() && !app.config.rooms.public_list_without_session {
        return Err(Failure::new(
            ErrorCode::MissingToken,
            "access token is missing",
        ));
    }
    let shown = match listing::elsewhere(&app, request.server.as_ref()) {
        Some(server) => {
            let wish = listing::remote_wish((request.limit, request.since));
            listing::show_remote(app.house.public_rooms_of(server, wish).await?)
        }
        None => {
            let wish = listing::wish((request.limit, request.since.as_deref()))?;
            listing::show(app.house.public_rooms(wish).await?)
        }
    };
    let mut response = Response::new(shown.chunk);
    response.next_batch = shown.next_batch;
    response.prev_batch = shown.prev_batch;
    response.total_room_count_estimate = shown.total;
    Ok(response)
}

//! `GET /_matrix/client/v1/mutual_rooms`, and its unstable form

use std::sync::Arc;

use ruma::{
    OwnedRoomId, UInt, UserId,
    api::client::membership::get_mutual_rooms::{unstable, v1},
};

use crate::edge::{App, Failure, Session};

/// So many rooms a page has.
const PAGE: usize = 500;

/// A page of the rooms that the caller shares with a user.
struct Shared {
    count: usize,
    rooms: Vec<OwnedRoomId>,
    next: Option<String>,
}

/// Lists the rooms that the caller shares with a user.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: v1::Request,
) -> Result<v1::Response, Failure> {
    let shared = shared(&app, &caller, &request.user_id, request.from).await?;
    let count = UInt::new_saturating(shared.count as u64);
    let mut response = v1::Response::new(count, shared.rooms);
    response.next_batch = shared.next;
    Ok(response)
}

/// The same as clients asked before version 1.19.
pub(crate) async fn handle_unstable(
    app: Arc<App>,
    caller: Session,
    request: unstable::Request,
) -> Result<unstable::Response, Failure> {
    let shared = shared(&app, &caller, &request.user_id, request.from).await?;
    let mut response = unstable::Response::new(shared.rooms);
    response.next_batch = shared.next;
    Ok(response)
}

/// The token of a page is the last room before it: rooms that come or go meanwhile shift nothing.
async fn shared(
    app: &App,
    caller: &Session,
    user_id: &UserId,
    from: Option<String>,
) -> Result<Shared, Failure> {
    if caller.user_id == *user_id {
        return Err(Failure::invalid_param(
            "the rooms shared with oneself are all rooms",
        ));
    }
    let from = from.map(OwnedRoomId::try_from).transpose();
    let from = from.map_err(|_| Failure::invalid_param("from is not a token of this list"))?;
    let all = app.house.mutual_rooms(&caller.user_id, user_id).await?;
    let count = all.len();
    let rest = all
        .into_iter()
        .filter(|room_id| from.as_ref().is_none_or(|from| room_id > from));
    let mut rooms: Vec<_> = rest.take(PAGE + 1).collect();
    let more = rooms.len() > PAGE;
    rooms.truncate(PAGE);
    let next = rooms.last().filter(|_| more).map(ToString::to_string);
    Ok(Shared { count, rooms, next })
}

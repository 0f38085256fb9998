//! `GET /_synapse/admin/v1/rooms/{room_id}/messages`

use std::sync::Arc;

use playhouse_actors::room::message::{MessagesQuery, Reader};
use ruma::{
    OwnedRoomId,
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};

use crate::{
    admin::{only_administrators, paging::is_backwards},
    client::{
        message::get_message_events::{LIMIT_MAX, written},
        point,
    },
    edge::{App, Failure, RawJson, Session},
};

/// A page has so many events, unless it is said.
const LIMIT: u64 = 10;

metadata! {
    method: GET,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_synapse/admin/v1/rooms/{room_id}/messages",
}

/// Asks for a page of a room's history.
#[request]
pub(crate) struct Request {
    /// The room.
    #[ruma_api(path)]
    pub(crate) room_id: OwnedRoomId,
    /// Where to begin.
    #[ruma_api(query)]
    pub(crate) from: Option<String>,
    /// Where to stop.
    #[ruma_api(query)]
    pub(crate) to: Option<String>,
    /// At most so many events.
    #[ruma_api(query)]
    pub(crate) limit: Option<u64>,
    /// A `RoomEventFilter`, as JSON.
    #[ruma_api(query)]
    pub(crate) filter: Option<String>,
    /// Onwards or back.
    #[ruma_api(query)]
    pub(crate) dir: Option<String>,
}

/// The page; written by hand.
#[response]
pub(crate) struct Response {}

/// Shows an administrator a room's history, whoever may see it.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<RawJson, Failure> {
    only_administrators(&caller)?;
    let room_id = &request.room_id;
    let parse = |token: &Option<String>| {
        let token = token.as_deref().filter(|token| !token.is_empty());
        token
            .map(|token| point::parse(&app, room_id, token))
            .transpose()
    };
    let wanted = MessagesQuery {
        reader: Reader::administrator(caller.user_id.clone()),
        from: parse(&request.from)?,
        to: parse(&request.to)?,
        backwards: is_backwards(request.dir.as_deref(), false)?,
        limit: request.limit.unwrap_or(LIMIT).clamp(1, LIMIT_MAX) as usize,
        filter: request.filter.clone().filter(|filter| !filter.is_empty()),
    };
    let history = app.house.messages(room_id, wanted).await?;
    Ok(written(&history))
}

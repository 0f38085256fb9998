//! `GET /_synapse/admin/v1/rooms/{room_id}/context/{event_id}`

use std::sync::Arc;

use playhouse_actors::room::{
    RoomAnswer, RoomQuery,
    message::{ContextQuery, Reader},
};
use ruma::{
    OwnedEventId, OwnedRoomId,
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};

use crate::{
    admin::only_administrators,
    client::context::get_context::{LIMIT_MAX, written},
    edge::{App, Failure, RawJson, Session},
};

/// So many events stand around, unless it is said.
const LIMIT: u64 = 10;

metadata! {
    method: GET,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_synapse/admin/v1/rooms/{room_id}/context/{event_id}",
}

/// Asks what surrounds an event.
#[request]
pub(crate) struct Request {
    /// The room.
    #[ruma_api(path)]
    pub(crate) room_id: OwnedRoomId,
    /// The event.
    #[ruma_api(path)]
    pub(crate) event_id: OwnedEventId,
    /// At most so many events around it.
    #[ruma_api(query)]
    pub(crate) limit: Option<u64>,
    /// A `RoomEventFilter`, as JSON.
    #[ruma_api(query)]
    pub(crate) filter: Option<String>,
}

/// The surroundings; written by hand.
#[response]
pub(crate) struct Response {}

/// Shows an administrator an event and what surrounds it, whoever may see it.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<RawJson, Failure> {
    only_administrators(&caller)?;
    let wanted = RoomQuery::Context(Box::new(ContextQuery {
        reader: Reader::administrator(caller.user_id.clone()),
        event_id: request.event_id,
        limit: request.limit.unwrap_or(LIMIT).min(LIMIT_MAX) as usize,
        filter: request.filter.filter(|filter| !filter.is_empty()),
    }));
    let RoomAnswer::Context(context) = app.house.room_query(&request.room_id, wanted).await? else {
        return Err(Failure::internal("unexpected answer to Context"));
    };
    Ok(written(&context))
}

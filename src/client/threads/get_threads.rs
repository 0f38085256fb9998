//! `GET /_matrix/client/*/rooms/{roomId}/threads`

use std::sync::Arc;

use playhouse_actors::room::{
    RoomAnswer, RoomQuery,
    message::{ThreadsQuery, TimelinePoint},
};
use ruma::{
    UInt,
    api::client::threads::get_threads::v1::{IncludeThreads, Request},
};

use crate::{
    client::{page, point, reader_of_history},
    edge::{App, Failure, RawJson, Session},
};

/// The most threads on a page.
const LIMIT_MAX: u64 = 100;

/// So many threads when the client does not say.
const LIMIT_DEFAULT: u64 = 20;

/// Lists the threads of a room.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<RawJson, Failure> {
    let from = match request.from.as_deref().filter(|token| !token.is_empty()) {
        Some(token) => match point::parse(&app, &request.room_id, token)? {
            TimelinePoint::Sequence(sequence) => Some(sequence),
            TimelinePoint::Position(_) | TimelinePoint::Past(_) => {
                return Err(Failure::invalid_param("this is not a token of this list"));
            }
        },
        None => None,
    };
    if request.limit == Some(UInt::MIN) {
        return Err(Failure::invalid_param("limit must be greater than zero"));
    }
    let limit = request.limit.map_or(LIMIT_DEFAULT, u64::from);
    let query = RoomQuery::Threads(Box::new(ThreadsQuery {
        reader: reader_of_history(&app, &caller, &request.room_id).await?,
        participated: request.include == IncludeThreads::Participated,
        from,
        limit: limit.clamp(1, LIMIT_MAX) as usize,
    }));
    let RoomAnswer::Page(found) = app.house.room_query(&request.room_id, query).await? else {
        return Err(Failure::internal("unexpected answer to Threads"));
    };
    let next = found.end.map(point::of_place);
    Ok(page::Object::new()
        .array("chunk", &found.chunk)
        .maybe_text("next_batch", next.as_deref())
        .finish())
}

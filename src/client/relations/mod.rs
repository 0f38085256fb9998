//! Events that relate to others (client-server API, "Forming relationships between events").

mod get_relating_events;
mod get_relating_events_with_rel_type;
mod get_relating_events_with_rel_type_and_event_type;

use playhouse_actors::room::{
    RoomAnswer, RoomQuery,
    message::{RelationsQuery, TimelinePoint},
};
use ruma::{
    EventId, RoomId, UInt,
    api::{
        Direction,
        client::relations::{
            get_relating_events::v1::Request as All,
            get_relating_events_with_rel_type::v1::Request as OfKind,
            get_relating_events_with_rel_type_and_event_type::v1::Request as OfKindAndType,
        },
    },
};

use crate::{
    client::{page, point, reader_of_history},
    edge::{App, Failure, RawJson, Routes, Session},
};

/// The most events on a page.
const LIMIT_MAX: u64 = 100;

/// So many events when the client does not say.
const LIMIT_DEFAULT: u64 = 20;

/// So many steps from the event are looked at when the client wants more than one.
const DEPTH: &str = "3";

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes.mount_raw::<All, _, _, _, _>(get_relating_events::handle);
    routes.mount_raw::<OfKind, _, _, _, _>(get_relating_events_with_rel_type::handle);
    routes.mount_raw::<OfKindAndType, _, _, _, _>(
        get_relating_events_with_rel_type_and_event_type::handle,
    );
}

/// What the three endpoints have in common.
struct Wanted {
    rel_type: Option<String>,
    event_type: Option<String>,
    from: Option<String>,
    to: Option<String>,
    dir: Direction,
    limit: Option<UInt>,
    recurse: bool,
}

async fn answer(
    app: &App,
    caller: &Session,
    (room_id, event_id): (&RoomId, &EventId),
    wanted: Wanted,
) -> Result<RawJson, Failure> {
    let parse = |token: &Option<String>| -> Result<Option<TimelinePoint>, Failure> {
        let token = token.as_deref().filter(|token| !token.is_empty());
        token
            .map(|token| point::parse(app, room_id, token))
            .transpose()
    };
    let limit = wanted.limit.map_or(LIMIT_DEFAULT, u64::from);
    let query = RoomQuery::Relations(Box::new(RelationsQuery {
        reader: reader_of_history(app, caller, room_id).await?,
        event_id: event_id.to_owned(),
        from: parse(&wanted.from)?,
        to: parse(&wanted.to)?,
        rel_type: wanted.rel_type,
        event_type: wanted.event_type,
        backwards: wanted.dir == Direction::Backward,
        limit: limit.clamp(1, LIMIT_MAX) as usize,
        recurse: wanted.recurse,
    }));
    let RoomAnswer::Page(found) = app.house.room_query(room_id, query).await? else {
        return Err(Failure::internal("unexpected answer to Relations"));
    };
    let next = found.end.map(point::of_place);
    let mut answer = page::Object::new()
        .array("chunk", &found.chunk)
        .maybe_text("next_batch", next.as_deref())
        .maybe_text("prev_batch", wanted.from.as_deref());
    if wanted.recurse {
        answer = answer.raw("recursion_depth", DEPTH.as_bytes());
    }
    Ok(answer.finish())
}

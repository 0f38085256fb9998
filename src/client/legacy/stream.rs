//! `GET /_matrix/client/*/events`: everything that happens to the caller, or in one room that the caller need not be in.

use std::time::Duration;

use bytes::Bytes;
use playhouse_actors::room::{
    RoomAnswer, RoomQuery,
    message::{MessagesPage, MessagesQuery, Place, TimelinePoint},
};
use ruma::RoomId;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{events_of, in_room, own_member, rooms_of, synced};
use crate::{
    client::{page::Object, parse_id, point, query::parameter, reader_of_history},
    edge::{App, Arguments, Failure, RawJson, Session},
};

/// Waits so long when the client does not say, and at most.
const TIMEOUTS_MS: (u64, u64) = (30_000, 300_000);

/// How often a room is looked at for somebody who is not in it: rooms tell their news to members only.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// So many events of a room are told at once.
const EVENTS_MAX: usize = 100;

/// Tells what has happened since a token, and waits for it if nothing has.
pub(crate) async fn listen(
    app: &App,
    caller: &Session,
    arguments: &Arguments,
) -> Result<RawJson, Failure> {
    let query = arguments.query.as_deref();
    let timeout = parameter(query, "timeout").map(|timeout| timeout.parse::<u64>());
    let timeout = timeout
        .transpose()
        .map_err(|_| Failure::invalid_param("timeout is a number of milliseconds"))?;
    let timeout_ms = timeout.unwrap_or(TIMEOUTS_MS.0).min(TIMEOUTS_MS.1);
    let from = parameter(query, "from").filter(|token| !token.is_empty());
    match parameter(query, "room_id") {
        Some(room_id) => {
            let room_id: &RoomId = parse_id(&room_id)?;
            let deadline = Instant::now() + Duration::from_millis(timeout_ms);
            listen_in(app, caller, (room_id, from), deadline).await
        }
        None if caller.guest => Err(Failure::invalid_param(
            "guests listen in single rooms: give room_id",
        )),
        None => listen_everywhere(app, caller, from, timeout_ms).await,
    }
}

/// All of the caller's rooms.
async fn listen_everywhere(
    app: &App,
    caller: &Session,
    from: Option<String>,
    timeout_ms: u64,
) -> Result<RawJson, Failure> {
    let from = match from {
        Some(from) => from,
        None => now(app, caller).await?,
    };
    let filter = json!({"room": {"timeline": {"limit": EVENTS_MAX}}});
    let since = Some(from.clone());
    let mut answer = synced(app, caller, since, (&filter, timeout_ms)).await?;
    let mut chunk = Vec::new();
    for membership in ["join", "leave"] {
        for (room_id, mut room) in rooms_of(&mut answer, membership) {
            for part in ["timeline", "ephemeral"] {
                chunk.extend(in_room(events_of(&mut room, part), &room_id));
            }
        }
    }
    for (room_id, mut room) in rooms_of(&mut answer, "invite") {
        let invite = own_member(events_of(&mut room, "invite_state"), caller);
        chunk.extend(in_room(invite.into_iter().collect(), &room_id));
    }
    chunk.extend(events_of(&mut answer, "presence"));
    let told = json!({"chunk": chunk, "start": from, "end": answer["next_batch"]});
    Ok(RawJson(Bytes::from(told.to_string())))
}

/// A token of this moment.
async fn now(app: &App, caller: &Session) -> Result<String, Failure> {
    let nothing =
        json!({"room": {"rooms": []}, "presence": {"types": []}, "account_data": {"types": []}});
    let mut answer = synced(app, caller, None, (&nothing, 0)).await?;
    match answer["next_batch"].take() {
        Value::String(token) => Ok(token),
        _ => Err(Failure::internal("a sync without a token")),
    }
}

/// One room.
async fn listen_in(
    app: &App,
    caller: &Session,
    (room_id, from): (&RoomId, Option<String>),
    deadline: Instant,
) -> Result<RawJson, Failure> {
    let mut from = from
        .map(|token| point::parse(app, room_id, &token))
        .transpose()?;
    loop {
        // The end of the room as the caller sees it.
        let end = page(app, caller, room_id, (None, None, 1)).await?.start;
        let start = *from.get_or_insert(end.into());
        let until = Some(end.into());
        let found = page(app, caller, room_id, (Some(start), until, EVENTS_MAX)).await?;
        if !found.chunk.is_empty() || Instant::now() >= deadline {
            let newest = match (end, found.start) {
                (Place::Live(end), Place::Live(start)) => Place::Live(end.max(start)),
                (end, _) => end,
            };
            let end = found.end.unwrap_or(newest);
            return Ok(Object::new()
                .array("chunk", &found.chunk)
                .text("start", &point::of_place(found.start))
                .text("end", &point::of_place(end))
                .finish());
        }
        let next = Instant::now() + LOOK_EVERY;
        tokio::time::sleep_until(next.min(deadline)).await;
    }
}

/// A page of a room: forwards from a point, or backwards from the end.
async fn page(
    app: &App,
    caller: &Session,
    room_id: &RoomId,
    (from, to, limit): (Option<TimelinePoint>, Option<TimelinePoint>, usize),
) -> Result<MessagesPage, Failure> {
    let query = RoomQuery::Messages(Box::new(MessagesQuery {
        reader: reader_of_history(app, caller, room_id).await?,
        backwards: from.is_none(),
        from,
        to,
        limit,
        filter: None,
    }));
    match app.house.room_query(room_id, query).await? {
        RoomAnswer::Page(page) => Ok(*page),
        _ => Err(Failure::internal("unexpected answer to Messages")),
    }
}

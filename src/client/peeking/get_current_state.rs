//! `GET /_matrix/client/*/rooms/{roomId}/initialSync`

use std::sync::Arc;

use bytes::Bytes;
use playhouse_actors::room::{
    RoomAnswer, RoomQuery,
    message::{MessagesQuery, Place},
};
use ruma::{RoomId, events::room::member::MembershipState};
use serde_json::{Value, json};

use crate::{
    client::{legacy, page::Object, parse_id, point, reader_of_history},
    edge::{App, Arguments, Failure, RawJson, Session},
};

/// Tells a room's state and newest messages: as they are to members and in rooms that everybody may read, as they were to those who left.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    arguments: Arguments,
) -> Result<RawJson, Failure> {
    let [room_id] = arguments.path.as_slice() else {
        return Err(Failure::internal("the path has other variables"));
    };
    let room_id: &RoomId = parse_id(room_id)?;
    let limit = legacy::limit(arguments.query.as_deref())?;
    let reader = reader_of_history(&app, &caller, room_id).await?;
    let query = RoomQuery::Messages(Box::new(MessagesQuery {
        reader: reader.clone(),
        from: None,
        to: None,
        backwards: true,
        limit: limit.max(1) as usize,
        filter: None,
    }));
    let RoomAnswer::Page(mut page) = app.house.room_query(room_id, query).await? else {
        return Err(Failure::internal("unexpected answer to Messages"));
    };
    page.chunk.reverse();
    let RoomAnswer::Events(state) = app
        .house
        .room_query(room_id, RoomQuery::State { reader })
        .await?
    else {
        return Err(Failure::internal("unexpected answer to State"));
    };
    let messages = Object::new()
        .array("chunk", &page.chunk)
        .text(
            "start",
            &point::of_place(page.end.unwrap_or(Place::Live(0))),
        )
        .text("end", &point::of_place(page.start));
    let access = app.house.room_access(room_id, &caller.user_id).await?;
    let membership = access.membership.as_ref().map(MembershipState::as_str);
    let (account_data, receipts) = match access.membership {
        Some(MembershipState::Join) => legacy::personal(&app, &caller, room_id).await?,
        _ => (Vec::new(), Vec::new()),
    };
    Ok(Object::new()
        .text("room_id", room_id.as_str())
        .maybe_text("membership", membership)
        .text(
            "visibility",
            if access.public { "public" } else { "private" },
        )
        .raw("messages", &messages.finish().0)
        .array("state", &state)
        .raw("account_data", &list(account_data))
        .raw("receipts", &list(receipts))
        .raw("presence", b"[]")
        .finish())
}

fn list(events: Vec<Value>) -> Bytes {
    Bytes::from(json!(events).to_string())
}

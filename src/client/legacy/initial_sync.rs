//! `GET /_matrix/client/*/initialSync`

use std::sync::Arc;

use bytes::Bytes;
use ruma::{
    RoomId,
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};
use serde_json::{Value, json};

use super::{events_of, in_room, own_member, rooms_of, synced};
use crate::{
    client::query::parameter,
    edge::{App, Arguments, Failure, RawJson, Session},
};

metadata! {
    method: GET,
    rate_limited: true,
    authentication: AccessToken,
    history: {
        1.0 => "/_matrix/client/r0/initialSync",
        1.1 => "/_matrix/client/v3/initialSync",
    }
}

/// Asks with a query, which the handler reads.
#[request]
pub(crate) struct Request {}

/// The answer, which is written by hand.
#[response]
pub(crate) struct Response {}

/// So many messages of each room when the client does not say, and at most.
const LIMITS: (u64, u64) = (10, 100);

/// Tells the caller's rooms with state and newest messages.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    arguments: Arguments,
) -> Result<RawJson, Failure> {
    let query = arguments.query.as_deref();
    let limit = limit(query)?;
    let archived = parameter(query, "archived").as_deref() == Some("true");
    let filter = json!({"room": {"timeline": {"limit": limit}, "include_leave": archived}});
    let mut answer = synced(&app, &caller, None, (&filter, 0)).await?;
    let end = answer["next_batch"].take();
    let (mut rooms, mut receipts) = (Vec::new(), Vec::new());
    for membership in ["join", "leave"] {
        for (room_id, mut room) in rooms_of(&mut answer, membership) {
            let ephemeral = in_room(events_of(&mut room, "ephemeral"), &room_id);
            receipts.extend(
                ephemeral
                    .into_iter()
                    .filter(|event| event["type"] == "m.receipt"),
            );
            rooms.push(snapshot(&app, &caller, (room_id, room), (membership, &end)).await?);
        }
    }
    for (room_id, mut room) in rooms_of(&mut answer, "invite") {
        let stripped = events_of(&mut room, "invite_state");
        let mut told = json!({"room_id": room_id, "membership": "invite"});
        if let Some(invite) = own_member(stripped, &caller) {
            told["inviter"] = invite["sender"].clone();
            told["invite"] = invite;
        }
        rooms.push(told);
    }
    let told = json!({
        "end": end,
        "rooms": rooms,
        "presence": events_of(&mut answer, "presence"),
        "account_data": events_of(&mut answer, "account_data"),
        "receipts": receipts,
    });
    Ok(RawJson(Bytes::from(told.to_string())))
}

/// `limit` of a query.
pub(crate) fn limit(query: Option<&str>) -> Result<u64, Failure> {
    let limit = parameter(query, "limit").map(|limit| limit.parse::<u64>());
    let limit = limit
        .transpose()
        .map_err(|_| Failure::invalid_param("limit is a number"))?;
    Ok(limit.unwrap_or(LIMITS.0).min(LIMITS.1))
}

async fn snapshot(
    app: &App,
    caller: &Session,
    (room_id, mut room): (String, Value),
    (membership, end): (&str, &Value),
) -> Result<Value, Failure> {
    let mut told = json!({
        "room_id": room_id,
        "membership": membership,
        "messages": {
            "start": room["timeline"]["prev_batch"].take(),
            "end": end,
            "chunk": in_room(events_of(&mut room, "timeline"), &room_id),
        },
        "state": in_room(events_of(&mut room, "state_after"), &room_id),
        "account_data": events_of(&mut room, "account_data"),
    });
    if membership == "join"
        && let Ok(room_id) = <&RoomId>::try_from(room_id.as_str())
    {
        let access = app.house.room_access(room_id, &caller.user_id).await?;
        told["visibility"] = if access.public { "public" } else { "private" }.into();
    }
    Ok(told)
}

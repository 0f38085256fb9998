//! Requests of old clients: snapshots and streams from before `/sync`, and forms of other requests that were never specified or are no more.

mod get_single_event;
mod initial_sync;
mod password_policy;
mod repeatable;
mod send_once;
mod stream;
mod token_refresh;

use playhouse_actors::user::message::SyncQuery;
use ruma::{OwnedDeviceId, RoomId};
use serde_json::{Map, Value, json};

use crate::{
    client::message::EVENT_BODY_BYTES_MAX,
    edge::{App, Class, Failure, Routes, Session},
};

pub(super) use initial_sync::limit;
pub(super) use stream::listen;

/// What happens to devices that sync (messages to them, presence) does not happen to this one, which nobody has.
const NO_DEVICE: &str = "-";

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes
        .mount_fast::<initial_sync::Request, _, _, _, _>(initial_sync::handle)
        .closes();
    routes.mount_raw::<get_single_event::Request, _, _, _, _>(get_single_event::handle);
    routes.mount(password_policy::handle).class(Class::Free);
    routes.mount_raw::<token_refresh::Request, _, _, _, _>(token_refresh::handle);
    routes
        .mount_fast::<send_once::message::Request, _, _, _, _>(send_once::handle)
        .guests()
        .class(Class::Message)
        .body_bytes_max(EVENT_BODY_BYTES_MAX);
    routes
        .mount_fast::<send_once::redaction::Request, _, _, _, _>(send_once::handle_redaction)
        .class(Class::Message);
    repeatable::mount(routes);
}

/// What a sync tells, on behalf of no device.
async fn synced(
    app: &App,
    caller: &Session,
    since: Option<String>,
    (filter, timeout_ms): (&Value, u64),
) -> Result<Value, Failure> {
    let query = SyncQuery {
        device_id: OwnedDeviceId::from(NO_DEVICE),
        since,
        filter: Some(filter.to_string()),
        full_state: false,
        set_presence: None,
        timeout_ms,
        state_after: true,
    };
    let _place = match &query.since {
        None => Some(app.initial_syncs.enter(&caller.user_id).await?),
        Some(_) => None,
    };
    let body = app.house.sync(&caller.user_id, query).await?;
    serde_json::from_slice(&body).map_err(Failure::internal)
}

/// The rooms of a sync in which the caller has one membership, by room ID.
fn rooms_of(answer: &mut Value, membership: &str) -> Map<String, Value> {
    match answer["rooms"][membership].take() {
        Value::Object(rooms) => rooms,
        _ => Map::new(),
    }
}

/// The events of a part of a sync.
fn events_of(part: &mut Value, name: &str) -> Vec<Value> {
    match part[name]["events"].take() {
        Value::Array(events) => events,
        _ => Vec::new(),
    }
}

/// The same events, each with its room.
fn in_room(mut events: Vec<Value>, room_id: &str) -> Vec<Value> {
    for event in &mut events {
        event["room_id"] = room_id.into();
    }
    events
}

/// The member event of an invited user out of stripped state.
fn own_member(events: Vec<Value>, caller: &Session) -> Option<Value> {
    events.into_iter().find(|event| {
        event["type"] == "m.room.member" && event["state_key"] == caller.user_id.as_str()
    })
}

/// Account data of a room and the receipts in it, as a member's sync tells them.
pub(super) async fn personal(
    app: &App,
    caller: &Session,
    room_id: &RoomId,
) -> Result<(Vec<Value>, Vec<Value>), Failure> {
    let filter = json!({
        "room": {"rooms": [room_id], "timeline": {"limit": 1}, "state": {"types": []}},
        "presence": {"types": []},
        "account_data": {"types": []},
    });
    let mut answer = synced(app, caller, None, (&filter, 0)).await?;
    let mut room = rooms_of(&mut answer, "join")
        .remove(room_id.as_str())
        .unwrap_or_default();
    let mut receipts = in_room(events_of(&mut room, "ephemeral"), room_id.as_str());
    receipts.retain(|event| event["type"] == "m.receipt");
    Ok((events_of(&mut room, "account_data"), receipts))
}

//! `GET /_synapse/admin/v1/rooms/{room_id}/state`

use std::sync::Arc;

use bytes::Bytes;
use playhouse_actors::room::{RoomAnswer, RoomQuery, message::Reader};
use ruma::{
    OwnedRoomId,
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};
use serde::Deserialize;

use crate::{
    admin::only_administrators,
    client::page,
    edge::{App, Failure, RawJson, Session},
};

metadata! {
    method: GET,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_synapse/admin/v1/rooms/{room_id}/state",
}

/// Asks for the state of a room.
#[request]
pub(crate) struct Request {
    /// The room.
    #[ruma_api(path)]
    pub(crate) room_id: OwnedRoomId,
    /// Only events of this type.
    #[ruma_api(query)]
    #[serde(rename = "type")]
    pub(crate) event_type: Option<String>,
}

/// The state; written by hand.
#[response]
pub(crate) struct Response {}

/// As much of an event as tells its type.
#[derive(Deserialize)]
struct Typed {
    #[serde(rename = "type")]
    event_type: String,
}

/// Tells an administrator the state of a room that is in force.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<RawJson, Failure> {
    only_administrators(&caller)?;
    let reader = Reader::administrator(caller.user_id.clone());
    let query = RoomQuery::State { reader };
    let RoomAnswer::Events(mut events) = app.house.room_query(&request.room_id, query).await?
    else {
        return Err(Failure::internal("unexpected answer to State"));
    };
    if let Some(wanted) = &request.event_type {
        events.retain(|event| is_of_type(event, wanted));
    }
    Ok(page::Object::new().array("state", &events).finish())
}

fn is_of_type(event: &Bytes, wanted: &str) -> bool {
    serde_json::from_slice::<Typed>(event).is_ok_and(|typed| typed.event_type == wanted)
}

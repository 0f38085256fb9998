//! `GET /_synapse/admin/v1/rooms/{room_id}`

use std::sync::Arc;

use playhouse_actors::room::{RoomAnswer, RoomError, RoomQuery, message::Reader};
use ruma::{
    OwnedRoomId, RoomId,
    api::{auth_scheme::AccessToken, request, response},
    events::StateEventType,
    metadata,
};
use serde::{Deserialize, Serialize};

use super::Described;
use crate::{
    admin::only_administrators,
    edge::{App, Failure, Session},
};

metadata! {
    method: GET,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_synapse/admin/v1/rooms/{room_id}",
}

/// Asks for a room.
#[request]
pub(crate) struct Request {
    /// The room.
    #[ruma_api(path)]
    pub(crate) room_id: OwnedRoomId,
}

/// The room.
#[response]
pub(crate) struct Response {
    /// All of it.
    #[ruma_api(body)]
    pub(crate) room: Detailed,
}

/// A room with what only one at a time is told.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Detailed {
    #[serde(flatten)]
    described: Described,
    avatar: Option<String>,
    topic: Option<String>,
    joined_local_devices: u64,
    /// All users of this server who were there have forgotten it.
    forgotten: bool,
    tombstoned: bool,
    replacement_room: Option<String>,
}

#[derive(Default, Deserialize)]
struct Tombstone {
    replacement_room: Option<String>,
}

/// Tells an administrator everything about a room.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    only_administrators(&caller)?;
    let room_id = &request.room_id;
    let unknown = || Failure::not_found("unknown room");
    let listed = app.house.listed_room(room_id).await?.ok_or_else(unknown)?;
    let access = app.house.room_access(room_id, &caller.user_id).await?;
    let tombstone = tombstone(&app, &caller, room_id).await?;
    let room = Detailed {
        described: Described::from(listed),
        avatar: access.avatar_url.map(|avatar| avatar.to_string()),
        topic: access.topic,
        joined_local_devices: app.house.devices_in_room(room_id).await?,
        forgotten: app.house.is_forgotten(room_id).await?,
        tombstoned: tombstone.is_some(),
        replacement_room: tombstone.and_then(|tombstone| tombstone.replacement_room),
    };
    Ok(Response { room })
}

/// What stands in the place of a room that was closed.
async fn tombstone(
    app: &App,
    caller: &Session,
    room_id: &RoomId,
) -> Result<Option<Tombstone>, Failure> {
    let query = RoomQuery::StateEvent {
        reader: Reader::administrator(caller.user_id.clone()),
        event_type: StateEventType::RoomTombstone,
        state_key: String::new(),
        content_only: true,
    };
    match app.house.room_query(room_id, query).await {
        Ok(RoomAnswer::Event(content)) => {
            Ok(Some(serde_json::from_slice(&content).unwrap_or_default()))
        }
        Ok(_) => Err(Failure::internal("unexpected answer to StateEvent")),
        Err(RoomError::NotFound) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

//! `GET /_playhouse/admin/v1/rooms/{room_id}/graph`

use std::sync::Arc;

use playhouse_actors::room::receive::StateReset;
use ruma::{
    OwnedEventId, OwnedRoomId,
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};
use serde::Serialize;

use super::ShownGraph;
use crate::edge::{Admin, App, Failure};

metadata! {
    method: GET,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_playhouse/admin/v1/rooms/{room_id}/graph",
}

/// Names a room.
#[request]
pub(crate) struct Request {
    /// Its ID.
    #[ruma_api(path)]
    pub(crate) room_id: OwnedRoomId,
}

/// Where it stands.
#[response]
pub(crate) struct Response {
    /// Its ends, and some figures.
    pub(crate) graph: ShownGraph,
    /// Keys of its state that resolution has reset although nothing that had come ruled so: the newest 50 since the room woke, oldest first.
    pub(crate) alarms: Vec<Alarm>,
}

/// A key of the state was reset.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Alarm {
    ts: u64,
    #[serde(rename = "type")]
    event_type: String,
    state_key: String,
    old: Option<OwnedEventId>,
    new: Option<OwnedEventId>,
    /// The event with whose arrival it changed.
    cause: OwnedEventId,
    /// The ends of the graph then.
    forward_extremities: Vec<OwnedEventId>,
}

impl From<StateReset> for Alarm {
    fn from(reset: StateReset) -> Self {
        Self {
            ts: reset.at_ms,
            event_type: reset.event_type,
            state_key: reset.state_key,
            old: reset.old,
            new: reset.new,
            cause: reset.cause,
            forward_extremities: reset.ends,
        }
    }
}

/// Tells where a room's event graph ends, and which keys of its state were reset.
pub(crate) async fn handle(
    app: Arc<App>,
    _caller: Admin,
    request: Request,
) -> Result<Response, Failure> {
    let graph = app.house.room_graph(&request.room_id).await?;
    let resets = app.house.state_resets(&request.room_id).await?;
    Ok(Response {
        graph: graph.into(),
        alarms: resets.into_iter().map(Alarm::from).collect(),
    })
}

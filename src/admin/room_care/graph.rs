//! `GET /_playhouse/admin/v1/rooms/{room_id}/graph`

use std::sync::Arc;

use playhouse_actors::room::{parked::ParkedPdu, receive::StateReset};
use ruma::{
    OwnedEventId, OwnedRoomId, OwnedServerName,
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
    /// Keys of its state that resolution has reset although nothing that had come ruled so: the newest 50, oldest first.
    pub(crate) alarms: Vec<Alarm>,
    /// Events of other servers that cannot be taken in before something else has come.
    pub(crate) parked: Vec<Waiting>,
}

/// An event of another server waits.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Waiting {
    event_id: OwnedEventId,
    /// The server that brought it.
    server_name: OwnedServerName,
    /// Since when, milliseconds since the Unix epoch.
    ts: u64,
    /// Events on which it rests and that have not come.
    lacks: Vec<OwnedEventId>,
    /// The members of the room were not known when it came.
    for_members: bool,
}

impl From<ParkedPdu> for Waiting {
    fn from(parked: ParkedPdu) -> Self {
        Self {
            event_id: parked.event_id,
            server_name: parked.origin,
            ts: parked.at_ms,
            lacks: parked.lacks,
            for_members: parked.for_members,
        }
    }
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

/// Tells where a room's event graph ends, which keys of its state were reset, and which events wait for others.
pub(crate) async fn handle(
    app: Arc<App>,
    _caller: Admin,
    request: Request,
) -> Result<Response, Failure> {
    let graph = app.house.room_graph(&request.room_id).await?;
    let resets = app.house.state_resets(&request.room_id).await?;
    let parked = app.house.parked_pdus(&request.room_id).await?;
    Ok(Response {
        graph: graph.into(),
        alarms: resets.into_iter().map(Alarm::from).collect(),
        parked: parked.into_iter().map(Waiting::from).collect(),
    })
}

//! `GET /_playhouse/admin/v1/rooms/{room_id}/state/why`

use std::sync::Arc;

use playhouse_actors::room::event::RoomEvent;
use playhouse_schema::record::room::Verdict;
use ruma::{
    OwnedEventId, OwnedRoomId, OwnedUserId,
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};
use serde::Serialize;

use super::ShownEntry;
use crate::edge::{Admin, App, Failure};

metadata! {
    method: GET,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_playhouse/admin/v1/rooms/{room_id}/state/why",
}

/// Names a piece of state.
#[request]
pub(crate) struct Request {
    /// The room.
    #[ruma_api(path)]
    pub(crate) room_id: OwnedRoomId,
    /// Event type.
    #[serde(rename = "type")]
    #[ruma_api(query)]
    pub(crate) event_type: String,
    /// State key.
    #[serde(default)]
    #[ruma_api(query)]
    pub(crate) state_key: String,
}

/// Why it is in force.
#[response]
pub(crate) struct Response {
    /// What is.
    pub(crate) in_force: ShownEntry,
    /// The events that allow it.
    pub(crate) auth_events: Vec<Shown>,
    /// Those of them that are not recorded.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) unknown_auth_events: Vec<OwnedEventId>,
    /// What was in force before, the newest first: at most 20.
    pub(crate) replaced: Vec<Shown>,
}

/// An event, without what it says.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Shown {
    event_id: OwnedEventId,
    #[serde(rename = "type")]
    event_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    state_key: Option<String>,
    sender: OwnedUserId,
    origin_server_ts: u64,
    sequence: u64,
    /// It was rejected: it should allow nothing.
    rejected: bool,
}

impl Shown {
    fn of(event: &RoomEvent) -> Self {
        let pdu = &event.pdu;
        Self {
            event_id: pdu.event_id.clone(),
            event_type: pdu.event_type.to_string(),
            state_key: pdu.state_key.clone(),
            sender: pdu.sender.clone(),
            origin_server_ts: pdu.origin_server_ts.0.into(),
            sequence: event.sequence,
            rejected: matches!(event.verdict, Verdict::Rejected(_)),
        }
    }
}

/// Tells which event is in force under a key, which events allow it, and what it replaced.
pub(crate) async fn handle(
    app: Arc<App>,
    _caller: Admin,
    request: Request,
) -> Result<Response, Failure> {
    let key = (request.event_type.as_str().into(), request.state_key);
    let reason = app.house.state_reason(&request.room_id, key).await?;
    let shown = |events: &[Arc<RoomEvent>]| -> Vec<Shown> {
        events.iter().map(|event| Shown::of(event)).collect()
    };
    Ok(Response {
        auth_events: shown(&reason.allowing),
        replaced: shown(&reason.before),
        unknown_auth_events: reason.unknown,
        in_force: reason.in_force.into(),
    })
}

//! `GET /_playhouse/admin/v1/rooms/{room_id}/compare`

use std::{collections::BTreeSet, sync::Arc};

use playhouse_actors::house::Difference;
use ruma::{
    OwnedEventId, OwnedRoomId, OwnedServerName,
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};
use serde::{Deserialize, Serialize};

use super::ShownEntry;
use crate::edge::{Admin, App, Failure};

metadata! {
    method: GET,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_playhouse/admin/v1/rooms/{room_id}/compare",
}

/// Whom to ask.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Query {
    /// From 1 to 10.
    #[serde(default)]
    server_name: Vec<OwnedServerName>,
}

/// Names a room, and whom to ask.
#[request]
pub(crate) struct Request {
    /// Its ID.
    #[ruma_api(path)]
    pub(crate) room_id: OwnedRoomId,
    /// Whom to ask.
    #[ruma_api(query_all)]
    pub(crate) query: Query,
}

/// How they differ.
#[response]
pub(crate) struct Response {
    /// The state before this event was compared.
    pub(crate) event_id: OwnedEventId,
    /// The room's graph has several ends: what differs need not be wrong.
    pub(crate) rough: bool,
    /// By server.
    pub(crate) servers: Vec<Shown>,
}

/// How what a server says differs from what is in force here.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Shown {
    server_name: OwnedServerName,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// So many events it names.
    state_events: usize,
    same: bool,
    only_here: Vec<ShownEntry>,
    only_there: Vec<OwnedEventId>,
    /// There is more than is told.
    limited: bool,
}

impl Shown {
    fn of((server_name, difference): (OwnedServerName, Difference)) -> Self {
        let is_empty = difference.only_here.is_empty() && difference.only_there.is_empty();
        let only_here = difference.only_here.into_iter();
        Self {
            server_name,
            same: difference.error.is_none() && is_empty,
            error: difference.error,
            state_events: difference.named,
            only_here: only_here.map(ShownEntry::from).collect(),
            only_there: difference.only_there,
            limited: difference.is_cut,
        }
    }
}

/// Asks other servers for the state of a room, and tells how it differs from what is in force here. Nothing is changed.
pub(crate) async fn handle(
    app: Arc<App>,
    _caller: Admin,
    request: Request,
) -> Result<Response, Failure> {
    let servers: BTreeSet<_> = request.query.server_name.into_iter().collect();
    let compared = app.house.compare_state(&request.room_id, &servers).await?;
    Ok(Response {
        event_id: compared.event_id,
        rough: compared.is_rough,
        servers: compared.servers.into_iter().map(Shown::of).collect(),
    })
}

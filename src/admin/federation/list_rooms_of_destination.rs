//! `GET /_synapse/admin/v1/federation/destinations/{destination}/rooms`

use std::sync::Arc;

use ruma::{
    OwnedServerName,
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};
use serde::Serialize;

use super::known;
use crate::{
    admin::{
        only_administrators,
        paging::{Span, is_backwards},
    },
    edge::{App, Failure, Session},
};

metadata! {
    method: GET,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_synapse/admin/v1/federation/destinations/{destination}/rooms",
}

/// Asks for the rooms that another server shares with this one.
#[request]
pub(crate) struct Request {
    /// The server.
    #[ruma_api(path)]
    pub(crate) destination: OwnedServerName,
    /// After so many.
    #[ruma_api(query)]
    pub(crate) from: Option<u64>,
    /// So many.
    #[ruma_api(query)]
    pub(crate) limit: Option<u64>,
    /// Rising or falling.
    #[ruma_api(query)]
    pub(crate) dir: Option<String>,
}

/// Rooms.
#[response]
pub(crate) struct Response {
    /// A page of them.
    pub(crate) rooms: Vec<Shared>,
    /// How many there are on all pages.
    pub(crate) total: u64,
    /// `from` of the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_token: Option<String>,
}

/// A room.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Shared {
    room_id: String,
    /// This server has no one order of all events.
    stream_ordering: Option<u64>,
}

/// Lists the rooms in which another server has, or had, a user.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    only_administrators(&caller)?;
    known(&app, &request.destination).await?;
    let span = Span::of(request.from, request.limit);
    let backwards = is_backwards(request.dir.as_deref(), false)?;
    let (rooms, total) = app
        .house
        .rooms_of_destination(
            request.destination.as_str(),
            (span.from, span.limit),
            backwards,
        )
        .await?;
    let next = span.next(rooms.len(), total);
    let rooms = rooms.into_iter().map(|room_id| Shared {
        room_id,
        stream_ordering: None,
    });
    Ok(Response {
        rooms: rooms.collect(),
        total,
        next_token: next.map(|next| next.to_string()),
    })
}

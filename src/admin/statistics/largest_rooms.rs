//! `GET /_synapse/admin/v1/statistics/database/rooms`

use std::sync::Arc;

use ruma::{
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};
use serde::Serialize;

use crate::{
    admin::only_administrators,
    edge::{App, Failure, Session},
};

metadata! {
    method: GET,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_synapse/admin/v1/statistics/database/rooms",
}

/// Asks for the largest rooms.
#[request]
pub(crate) struct Request {}

/// The largest rooms.
#[response]
pub(crate) struct Response {
    /// The largest first.
    pub(crate) rooms: Vec<Large>,
}

/// A room.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Large {
    room_id: String,
    /// Bytes of its records in the log, about.
    estimated_size: u64,
}

/// Tells which rooms take the most space.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    _request: Request,
) -> Result<Response, Failure> {
    only_administrators(&caller)?;
    let largest = app.house.largest_rooms().await?.into_iter();
    let rooms = largest.map(|(room_id, estimated_size)| Large {
        room_id,
        estimated_size,
    });
    Ok(Response {
        rooms: rooms.collect(),
    })
}

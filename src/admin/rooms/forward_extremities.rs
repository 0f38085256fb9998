//! `GET` and `DELETE /_synapse/admin/v1/rooms/{roomIdOrAlias}/forward_extremities`

use std::sync::Arc;

use ruma::{
    OwnedRoomOrAliasId,
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
    path: "/_synapse/admin/v1/rooms/{room_id_or_alias}/forward_extremities",
}

/// Names a room.
#[request]
pub(crate) struct Request {
    /// The room.
    #[ruma_api(path)]
    pub(crate) room_id_or_alias: OwnedRoomOrAliasId,
}

/// The ends of its event graph.
#[response]
pub(crate) struct Response {
    /// How many there are.
    pub(crate) count: usize,
    /// The oldest first.
    pub(crate) results: Vec<End>,
}

/// An end of the event graph.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct End {
    event_id: String,
    /// The record that made the state after it.
    state_group: u64,
    depth: u64,
    /// When it came, milliseconds since the Unix epoch.
    received_ts: u64,
}

/// Lists the ends of a room's event graph.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    only_administrators(&caller)?;
    let room_id = app.house.room_of(&request.room_id_or_alias, &[]).await?;
    let ends = app.house.room_ends(&room_id).await?;
    let results = ends.into_iter().map(|(end, received_ts)| End {
        event_id: end.event_id.to_string(),
        state_group: end.after,
        depth: end.depth,
        received_ts,
    });
    let results: Vec<_> = results.collect();
    Ok(Response {
        count: results.len(),
        results,
    })
}

/// Making them fewer.
pub(crate) mod join {
    use super::{
        AccessToken, App, Arc, Failure, OwnedRoomOrAliasId, Session, metadata, only_administrators,
        request, response,
    };

    metadata! {
        method: DELETE,
        rate_limited: false,
        authentication: AccessToken,
        path: "/_synapse/admin/v1/rooms/{room_id_or_alias}/forward_extremities",
    }

    /// Names a room.
    #[request]
    pub(crate) struct Request {
        /// The room.
        #[ruma_api(path)]
        pub(crate) room_id_or_alias: OwnedRoomOrAliasId,
    }

    /// It is done.
    #[response]
    pub(crate) struct Response {
        /// How many are no ends any more.
        pub(crate) deleted: usize,
    }

    /// Joins the ends of a room's event graph: nothing is cut off, events that say nothing follow on them.
    pub(crate) async fn handle(
        app: Arc<App>,
        caller: Session,
        request: Request,
    ) -> Result<Response, Failure> {
        only_administrators(&caller)?;
        let room_id = app.house.room_of(&request.room_id_or_alias, &[]).await?;
        let deleted = app.house.join_ends(&room_id).await?;
        Ok(Response { deleted })
    }
}

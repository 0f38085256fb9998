//! `GET /_synapse/admin/v1/rooms/{room_id}/hierarchy`

use std::sync::Arc;

use ruma::{
    OwnedRoomId, UInt,
    api::{auth_scheme::AccessToken, client::space::SpaceHierarchyRoomsChunk, request, response},
    metadata,
};

use crate::{
    admin::only_administrators,
    client::space::get_hierarchy::{Asked, find},
    edge::{App, Failure, Session},
};

metadata! {
    method: GET,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_synapse/admin/v1/rooms/{room_id}/hierarchy",
}

/// Asks for the tree of a space.
#[request]
pub(crate) struct Request {
    /// The space.
    #[ruma_api(path)]
    pub(crate) room_id: OwnedRoomId,
    /// Where to go on.
    #[ruma_api(query)]
    pub(crate) from: Option<String>,
    /// At most so many rooms.
    #[ruma_api(query)]
    pub(crate) limit: Option<UInt>,
    /// So far into the tree.
    #[ruma_api(query)]
    pub(crate) max_depth: Option<UInt>,
}

/// A page of the tree.
#[response]
pub(crate) struct Response {
    /// Where to go on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_batch: Option<String>,
    /// The rooms, depth first.
    pub(crate) rooms: Vec<SpaceHierarchyRoomsChunk>,
}

/// Shows an administrator the rooms of a space that are known here, whoever may see them.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    only_administrators(&caller)?;
    let asked = Asked {
        room_id: request.room_id,
        via: Vec::new(),
        user_id: caller.user_id.clone(),
        sees_all: true,
        suggested_only: false,
        max_depth: request.max_depth,
        from: request.from,
        limit: request.limit,
    };
    let (rooms, next_batch) = find(&app, asked).await?;
    Ok(Response { next_batch, rooms })
}

//! `GET /_matrix/federation/v1/hierarchy/{roomId}`

use std::sync::Arc;

use ruma::api::federation::space::{
    SpaceHierarchyParentSummary,
    get_hierarchy::v1::{Request, Response},
};

use crate::{
    client::space::raw,
    edge::{App, Failure, Peer},
};

/// Lists the rooms of a space.
pub(crate) async fn handle(
    app: Arc<App>,
    peer: Peer,
    request: Request,
) -> Result<Response, Failure> {
    let house = &app.house;
    let space = house
        .hierarchy_for_peer(&peer.origin, &request.room_id, request.suggested_only)
        .await?;
    let children = space.room.children.into_iter().map(raw);
    let room =
        SpaceHierarchyParentSummary::new(space.room.summary, children.collect::<Result<_, _>>()?);
    let mut response = Response::new(room);
    response.children = space.children;
    response.inaccessible_children = space.inaccessible;
    Ok(response)
}

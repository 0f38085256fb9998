//! `GET /_synapse/admin/v1/rooms/{room_id}/members`

use std::sync::Arc;

use playhouse_actors::room::{RoomAnswer, RoomQuery};
use ruma::{
    OwnedRoomId, OwnedUserId,
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};

use crate::{
    admin::only_administrators,
    edge::{App, Failure, Session},
};

metadata! {
    method: GET,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_synapse/admin/v1/rooms/{room_id}/members",
}

/// Asks who is in a room.
#[request]
pub(crate) struct Request {
    /// The room.
    #[ruma_api(path)]
    pub(crate) room_id: OwnedRoomId,
}

/// Who is in it.
#[response]
pub(crate) struct Response {
    /// All who have joined, of whichever server.
    pub(crate) members: Vec<OwnedUserId>,
    /// How many.
    pub(crate) total: usize,
}

/// Tells an administrator who is in a room.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    only_administrators(&caller)?;
    let query = RoomQuery::JoinedMembers { reader: None };
    let RoomAnswer::Joined(joined) = app.house.room_query(&request.room_id, query).await? else {
        return Err(Failure::internal("unexpected answer to JoinedMembers"));
    };
    let members: Vec<_> = joined.into_iter().map(|(user_id, _)| user_id).collect();
    Ok(Response {
        total: members.len(),
        members,
    })
}

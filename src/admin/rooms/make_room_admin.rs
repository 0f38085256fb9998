//! `POST /_synapse/admin/v1/rooms/{room_id_or_alias}/make_room_admin`

use std::sync::Arc;

use ruma::{
    OwnedRoomOrAliasId, OwnedUserId,
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};

use crate::{
    admin::only_administrators,
    edge::{App, Failure, Session},
};

metadata! {
    method: POST,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_synapse/admin/v1/rooms/{room_id_or_alias}/make_room_admin",
}

/// Somebody who is to have power in a room.
#[request]
pub(crate) struct Request {
    /// The room.
    #[ruma_api(path)]
    pub(crate) room_id_or_alias: OwnedRoomOrAliasId,
    /// Who; the administrator who asks, if nobody is named.
    pub(crate) user_id: Option<OwnedUserId>,
}

/// It is so.
#[response]
pub(crate) struct Response {}

/// Gives somebody as much power in a room as the most powerful user of this server has there, and an invite.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    only_administrators(&caller)?;
    let room_id = app.house.room_of(&request.room_id_or_alias, &[]).await?;
    let user_id = request.user_id.as_ref().unwrap_or(&caller.user_id);
    app.house
        .make_room_admin(&room_id, user_id, &caller.user_id)
        .await?;
    Ok(Response {})
}

//! `POST /_synapse/admin/v1/join/{room_id_or_alias}`

use std::sync::Arc;

use playhouse_actors::house::JoinWish;
use ruma::{
    OwnedRoomId, OwnedRoomOrAliasId, OwnedServerName, OwnedUserId,
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};

use crate::{
    admin::{only_administrators, users::local_account},
    edge::{App, Failure, Session},
};

/// So many servers that may help are heard of.
const VIA_MAX: usize = 16;

metadata! {
    method: POST,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_synapse/admin/v1/join/{room_id_or_alias}",
}

/// Somebody who is to come into a room.
#[request]
pub(crate) struct Request {
    /// Where to.
    #[ruma_api(path)]
    pub(crate) room_id_or_alias: OwnedRoomOrAliasId,
    /// Servers that may help.
    #[serde(default)]
    #[ruma_api(query)]
    pub(crate) server_name: Vec<OwnedServerName>,
    /// Who.
    pub(crate) user_id: OwnedUserId,
}

/// It is done.
#[response]
pub(crate) struct Response {
    /// The room.
    pub(crate) room_id: OwnedRoomId,
}

/// Brings a user of this server into a room; where an invite is needed, by one from the administrator, who must be in the room.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    only_administrators(&caller)?;
    let account = local_account(&app, &request.user_id).await?;
    if account.deactivated {
        return Err(Failure::invalid_param("this account is closed"));
    }
    let mut via = request.server_name;
    via.truncate(VIA_MAX);
    let wish = JoinWish {
        user_id: request.user_id,
        guest: account.guest,
        room: request.room_id_or_alias,
        via,
        reason: None,
        extra_content: None,
    };
    let room_id = app.house.bring_in(wish, &caller.user_id).await?;
    Ok(Response { room_id })
}

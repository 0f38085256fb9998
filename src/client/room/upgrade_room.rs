//! `POST /_matrix/client/*/rooms/{roomId}/upgrade`

use std::sync::Arc;

use playhouse_actors::house::UpgradeWish;
use ruma::{
    RoomId,
    api::client::room::upgrade_room::v3::{Request, Response},
};

use crate::edge::{App, Failure, Session};

/// Replaces a room by one of another version.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    caller.not_suspended()?;
    if caller.shadow_banned {
        let pretended = RoomId::parse(app.house.pretended_room_id());
        return Ok(Response::new(pretended.map_err(Failure::internal)?));
    }
    let room_id = app
        .house
        .upgrade_room(UpgradeWish {
            room_id: request.room_id,
            user_id: caller.known.user_id,
            version: request.new_version,
            additional_creators: request.additional_creators,
        })
        .await?;
    Ok(Response::new(room_id))
}

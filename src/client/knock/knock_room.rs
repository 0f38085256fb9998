//! `POST /_matrix/client/*/knock/{roomIdOrAlias}`

use std::sync::Arc;

use playhouse_actors::house::JoinWish;
use ruma::api::client::knock::knock_room::v3::{Request, Response};

use crate::{
    client::membership::permission::may_join,
    edge::{App, Failure, Session},
};

/// Asks to be let into a room.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    caller.not_suspended()?;
    may_join(&app, &caller, request.room_id_or_alias.as_str()).await?;
    let room_id = app
        .house
        .knock(JoinWish {
            guest: caller.guest,
            user_id: caller.known.user_id,
            room: request.room_id_or_alias,
            via: request.via,
            reason: request.reason,
            extra_content: None,
        })
        .await?;
    Ok(Response::new(room_id))
}

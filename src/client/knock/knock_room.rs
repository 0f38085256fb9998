//! `POST /_matrix/client/*/knock/{roomIdOrAlias}`

use std::sync::Arc;

use playhouse_actors::house::JoinWish;
use ruma::api::client::knock::knock_room::v3::{Request, Response};

use crate::{
    client::must_not_be_suspended,
    edge::{App, Failure, Session},
};

/// Asks to be let into a room.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    must_not_be_suspended(&caller)?;
    let room_id = app
        .house
        .knock(JoinWish {
            user_id: caller.user_id,
            guest: caller.guest,
            room: request.room_id_or_alias,
            via: request.via,
            reason: request.reason,
            extra_content: None,
        })
        .await?;
    Ok(Response::new(room_id))
}

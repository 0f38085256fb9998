//! `POST /_matrix/client/*/rooms/{roomId}/join`

use std::sync::Arc;

use playhouse_actors::house::JoinWish;
use ruma::api::client::membership::join_room_by_id::v3::{Request, Response};

use crate::{
    client::must_not_be_suspended,
    edge::{App, Failure, Session},
};

/// Joins a room.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    must_not_be_suspended(&caller)?;
    let room_id = app
        .house
        .join(JoinWish {
            user_id: caller.user_id,
            guest: caller.guest,
            room: request.room_id.into(),
            via: Vec::new(),
            reason: request.reason,
            extra_content: None,
        })
        .await?;
    Ok(Response::new(room_id))
}

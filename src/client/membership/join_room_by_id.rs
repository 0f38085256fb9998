//! `POST /_matrix/client/*/rooms/{roomId}/join`

use std::sync::Arc;

use playhouse_actors::house::JoinWish;
use ruma::api::client::membership::join_room_by_id::v3::{Request, Response};

use super::permission;
use crate::edge::{App, Failure, Session};

/// Joins a room.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    caller.not_suspended()?;
    permission::may_join(&app, &caller, request.room_id.as_str()).await?;
    if let Some(signed) = request.third_party_signed {
        app.house
            .accept_third_party_invite(&request.room_id, &caller.user_id, super::signed(signed)?)
            .await?;
    }
    let room_id = app
        .house
        .join(JoinWish {
            guest: caller.guest,
            user_id: caller.known.user_id,
            room: request.room_id.into(),
            via: Vec::new(),
            reason: request.reason,
            extra_content: None,
        })
        .await?;
    Ok(Response::new(room_id))
}

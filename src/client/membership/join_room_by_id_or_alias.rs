//! `POST /_matrix/client/*/join/{roomIdOrAlias}`

use std::sync::Arc;

use playhouse_actors::house::JoinWish;
use ruma::api::client::membership::join_room_by_id_or_alias::v3::{Request, Response};

use super::permission;
use crate::edge::{App, Failure, Session};

/// Joins a room by its ID or an alias.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    caller.not_suspended()?;
    permission::may_join(&app, &caller, request.room_id_or_alias.as_str()).await?;
    if let Some(signed) = request.third_party_signed {
        let room_id = app
            .house
            .room_of(&request.room_id_or_alias, &request.via)
            .await?;
        app.house
            .accept_third_party_invite(&room_id, &caller.user_id, super::signed(signed)?)
            .await?;
    }
    let room_id = app
        .house
        .join(JoinWish {
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

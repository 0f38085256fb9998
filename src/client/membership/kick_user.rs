//! `POST /_matrix/client/*/rooms/{roomId}/kick`

use std::sync::Arc;

use ruma::api::client::membership::kick_user::v3::{Request, Response};

use crate::edge::{App, Failure, Session};

/// Removes a user from a room.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    caller.not_suspended()?;
    let wish = super::wish(&caller, request.room_id, request.user_id, request.reason);
    app.house.kick(wish).await?;
    Ok(Response::new())
}

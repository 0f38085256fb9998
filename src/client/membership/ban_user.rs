//! `POST /_matrix/client/*/rooms/{roomId}/ban`

use std::sync::Arc;

use ruma::api::client::membership::ban_user::v3::{Request, Response};

use crate::edge::{App, Failure, Session};

/// Bans a user from a room.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    caller.not_suspended()?;
    let wish = super::wish(&caller, request.room_id, request.user_id, request.reason);
    app.house.ban(wish).await?;
    Ok(Response::new())
}

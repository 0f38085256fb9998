//! `POST /_matrix/client/*/rooms/{roomId}/unban`

use std::sync::Arc;

use ruma::api::client::membership::unban_user::v3::{Request, Response};

use crate::edge::{App, Failure, Session};

/// Lifts a user's ban.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    caller.not_suspended()?;
    let wish = super::wish(&caller, request.room_id, request.user_id, request.reason);
    app.house.unban(wish).await?;
    Ok(Response::new())
}

//! `POST /_matrix/client/*/rooms/{roomId}/forget`

use std::sync::Arc;

use ruma::api::client::membership::forget_room::v3::{Request, Response};

use crate::edge::{App, Failure, Session};

/// Drops a room that the caller has left from the caller's lists.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    app.house.forget(&request.room_id, &caller.user_id).await?;
    Ok(Response::new())
}

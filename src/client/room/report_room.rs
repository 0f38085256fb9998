//! `POST /_matrix/client/*/rooms/{roomId}/report`

use std::sync::Arc;

use ruma::api::client::room::report_room::v3::{Request, Response};

use crate::edge::{App, Failure, Session};

/// Tells the administrators of a room.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    app.house
        .report_room(&caller.user_id, &request.room_id, request.reason)
        .await?;
    Ok(Response::new())
}

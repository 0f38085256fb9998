//! `POST /_matrix/client/*/rooms/{roomId}/leave`

use std::sync::Arc;

use ruma::api::client::membership::leave_room::v3::{Request, Response};

use crate::edge::{App, Failure, Session};

/// Leaves a room, rejects an invite, or retracts a knock.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    let target = caller.user_id.clone();
    let wish = super::wish(&caller, request.room_id, target, request.reason);
    app.house.leave(wish).await?;
    Ok(Response::new())
}

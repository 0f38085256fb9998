//! `GET /_matrix/client/*/rooms/{roomId}/aliases`

use std::sync::Arc;

use ruma::api::client::room::aliases::v3::{Request, Response};

use crate::edge::{App, Failure, Session};

/// Lists the aliases that this server has for a room.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    let aliases = app
        .house
        .room_aliases(&request.room_id, &caller.user_id)
        .await?;
    Ok(Response::new(aliases))
}

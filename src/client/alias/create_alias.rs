//! `PUT /_matrix/client/*/directory/room/{roomAlias}`

use std::sync::Arc;

use ruma::api::client::alias::create_alias::v3::{Request, Response};

use crate::edge::{App, Failure, Session};

/// Makes an alias for a room that the caller is in.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    caller.not_suspended()?;
    app.bridges
        .check_alias(&request.room_alias, caller.bridge.as_deref())?;
    app.house
        .create_alias(&request.room_alias, &request.room_id, &caller.user_id)
        .await?;
    Ok(Response::new())
}

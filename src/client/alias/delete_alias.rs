//! `DELETE /_matrix/client/*/directory/room/{roomAlias}`

use std::sync::Arc;

use ruma::api::client::alias::delete_alias::v3::{Request, Response};

use crate::edge::{App, Failure, Session};

/// Deletes an alias: its maker may, moderators of its room may, administrators may.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    caller.not_suspended()?;
    app.bridges
        .check_alias(&request.room_alias, caller.bridge.as_deref())?;
    app.house
        .delete_alias(&request.room_alias, &caller.user_id, caller.admin)
        .await?;
    Ok(Response::new())
}

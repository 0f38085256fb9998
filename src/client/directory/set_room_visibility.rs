//! `PUT /_matrix/client/*/directory/list/room/{roomId}`

use std::sync::Arc;

use ruma::api::client::{
    directory::set_room_visibility::v3::{Request, Response},
    room::Visibility,
};

use crate::edge::{App, Failure, Session};

/// Puts a room into the public list, or takes it out.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    caller.not_suspended()?;
    let public = request.visibility == Visibility::Public;
    app.house
        .set_directory_visibility(&request.room_id, &caller.user_id, public)
        .await?;
    Ok(Response::new())
}

//! `DELETE /_matrix/client/*/user/{userId}/rooms/{roomId}/tags/{tag}`

use std::sync::Arc;

use playhouse_actors::user::UserCommand;
use ruma::api::client::tag::delete_tag::v3::{Request, Response};

use crate::{
    client::must_be_own,
    edge::{App, Failure, Session},
};

/// Takes a tag off a room for the caller.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    must_be_own(&caller, &request.user_id)?;
    let command = UserCommand::SetTag {
        room_id: request.room_id,
        tag: request.tag,
        content: None,
    };
    app.house.user_command(&caller.user_id, command).await?;
    Ok(Response::new())
}

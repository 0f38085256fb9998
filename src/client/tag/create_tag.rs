//! `PUT /_matrix/client/*/user/{userId}/rooms/{roomId}/tags/{tag}`

use std::sync::Arc;

use playhouse_actors::user::UserCommand;
use ruma::RoomId;

use crate::{
    client::{empty, json_object_text, must_be_own, parse_id},
    edge::{App, Arguments, Failure, RawJson, Session},
};

/// Puts a tag on a room for the caller.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    arguments: Arguments,
) -> Result<RawJson, Failure> {
    let [user_id, room_id, tag] = arguments.path.as_slice() else {
        return Err(Failure::internal("the path has other variables"));
    };
    must_be_own(&caller, parse_id(user_id)?)?;
    let command = UserCommand::SetTag {
        room_id: parse_id::<RoomId>(room_id)?.to_owned(),
        tag: tag.clone(),
        content: Some(json_object_text(&arguments.body)?),
    };
    app.house.user_command(&caller.user_id, command).await?;
    Ok(empty())
}

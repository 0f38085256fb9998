//! `PUT /_matrix/client/*/directory/list/room/{roomId}`

use std::sync::Arc;

use ruma::api::client::{
    directory::set_room_visibility::v3::{Request, Response},
    room::Visibility,
};
use serde_json::json;

use crate::{
    client::membership::permission::ask,
    edge::{App, Failure, Session},
    third_party::Check,
};

/// Puts a room into the public list, or takes it out.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    caller.not_suspended()?;
    let public = request.visibility == Visibility::Public;
    if public {
        ask(
            &app,
            &caller,
            Check::Publish,
            || json!({"user_id": caller.user_id, "room_id": request.room_id}),
        )
        .await?;
    }
    app.house
        .set_directory_visibility(&request.room_id, &caller.user_id, public)
        .await?;
    Ok(Response::new())
}

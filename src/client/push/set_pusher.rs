//! `POST /_matrix/client/*/pushers/set`

use std::sync::Arc;

use playhouse_actors::{house::PusherWish, user::UserCommand};
use ruma::api::client::push::set_pusher::v3::{PusherAction, Request, Response};

use crate::edge::{App, Failure, Session};

/// Makes, changes or removes a pusher of the caller.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    match request.action {
        PusherAction::Post(post) => {
            let wish = PusherWish {
                json: serde_json::to_string(&post.pusher).map_err(Failure::internal)?,
                app_id: post.pusher.ids.app_id,
                pushkey: post.pusher.ids.pushkey,
                append: post.append,
            };
            let device_id = caller.device_id.as_deref();
            app.house
                .set_pusher(&caller.user_id, device_id, wish)
                .await?;
        }
        PusherAction::Delete(ids) => {
            let remove = UserCommand::RemovePusher {
                app_id: ids.app_id,
                pushkey: ids.pushkey,
            };
            app.house.user_command(&caller.user_id, remove).await?;
        }
        _ => return Err(Failure::invalid_param("kind must be a text or null")),
    }
    Ok(Response::new())
}

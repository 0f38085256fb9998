//! `POST /_matrix/client/*/pushers/set`

use std::sync::Arc;

use playhouse_actors::{house::PusherWish, user::UserCommand};
use ruma::{
    UserId,
    api::{
        client::push::{
            PusherKind,
            set_pusher::v3::{PusherAction, PusherPostData, Request, Response},
        },
        error::ErrorCode,
    },
};
use serde::Deserialize;

use crate::edge::{App, Arguments, Failure, Session};

/// What the typed request leaves out.
#[derive(Deserialize)]
struct More {
    /// The pusher is switched on (MSC3881).
    #[serde(rename = "org.matrix.msc3881.enabled", alias = "enabled")]
    enabled: Option<bool>,
}

/// Makes, changes or removes a pusher of the caller.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
    arguments: Arguments,
) -> Result<Response, Failure> {
    match request.action {
        PusherAction::Post(post) => {
            match &post.pusher.kind {
                PusherKind::Http(data) => {
                    let checked = app.gateways.check(&data.url);
                    checked.map_err(Failure::invalid_param)?;
                }
                PusherKind::Email(_) => {
                    check_address(&app, &caller.user_id, &post.pusher.ids.pushkey).await?;
                }
                _ => {}
            }
            let wish = PusherWish {
                json: json(&post, &arguments.body)?,
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

/// The pusher as it is kept: what clients may see, and whether it is switched on.
fn json(post: &PusherPostData, body: &[u8]) -> Result<String, Failure> {
    let more: More =
        serde_json::from_slice(body).map_err(|error| Failure::bad_json(error.to_string()))?;
    let json = serde_json::to_string(&post.pusher).map_err(Failure::internal)?;
    let fields = json
        .strip_suffix('}')
        .filter(|_| more.enabled == Some(false));
    Ok(match fields {
        Some(fields) => format!("{fields},\"org.matrix.msc3881.enabled\":false}}"),
        None => json,
    })
}

/// Mails go to addresses that their users have proved to have. Where no mail is sent it does not matter.
async fn check_address(app: &App, user_id: &UserId, address: &str) -> Result<(), Failure> {
    if app.third_party.mailer.is_none() {
        return Ok(());
    }
    let address = address.to_lowercase();
    let known = app.house.threepids(user_id).await?;
    let is_own = known
        .iter()
        .any(|known| known.medium == "email" && known.address.to_lowercase() == address);
    if is_own {
        return Ok(());
    }
    let message = "this mail address is not one of yours";
    Err(Failure::new(ErrorCode::ThreepidNotFound, message))
}

//! `GET /_matrix/client/*/presence/{userId}/status`

use std::{sync::Arc, time::Duration};

use ruma::api::client::presence::get_presence::v3::{Request, Response};

use crate::edge::{App, Failure, Session};

/// Tells the presence of somebody with whom the caller shares a room.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    let presence = app
        .house
        .presence(&caller.user_id, &request.user_id)
        .await?;
    let ago_ms = app.house.env().now_ms().saturating_sub(presence.active_ms);
    let mut response = Response::new(presence.presence);
    response.status_msg = presence.status_msg;
    response.currently_active = Some(presence.currently_active);
    response.last_active_ago = (presence.active_ms > 0).then(|| Duration::from_millis(ago_ms));
    Ok(response)
}

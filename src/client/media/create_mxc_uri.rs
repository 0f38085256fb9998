//! `POST /_matrix/media/*/create`

use std::sync::Arc;

use playhouse_actors::media::{MediaCommand, message::Reserved};
use ruma::{
    MilliSecondsSinceUnixEpoch, UInt,
    api::client::media::create_mxc_uri::v1::{Request, Response},
};

use super::{create_content::address, quota};
use crate::edge::{App, Failure, Session};

/// Hands out an address before the content.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    _request: Request,
) -> Result<Response, Failure> {
    caller.not_suspended()?;
    // Two requests at once must not both take the last place.
    let _turn = app.uploads.of(&caller.user_id).await?;
    quota::check_awaited(&app, &caller.user_id).await?;
    let media_id = app.env().random_string(24);
    let expires_ms = app.env().now_ms() + app.config.media.pending_upload_ms;
    let command = MediaCommand::Reserve(Reserved {
        user_id: caller.user_id.to_string(),
        expires_ms,
    });
    app.house
        .media_command(&media_id, command)
        .await
        .map_err(playhouse_actors::house::HouseError::from)?;
    let mut response = Response::new(address(&app, &media_id));
    response.unused_expires_at = UInt::new(expires_ms).map(MilliSecondsSinceUnixEpoch);
    Ok(response)
}

//! `GET /_matrix/client/v1/media/download/{serverName}/{mediaId}`

use std::sync::Arc;

use ruma::api::client::authenticated_media::get_content::v1::Request;

use crate::{
    client::media::serve::{self, Wanted},
    edge::{App, Failure, Prepared, Ranged, Session},
};

/// Gives a piece of media.
pub(crate) async fn handle(
    app: Arc<App>,
    Ranged {
        range, sees_ends, ..
    }: Ranged<Session>,
    request: Request,
) -> Result<Prepared, Failure> {
    let wanted = Wanted {
        server_name: &request.server_name,
        media_id: &request.media_id,
        file_name: None,
        timeout: request.timeout_ms,
        range,
        sees_ends,
        redirect: true,
    };
    serve::content(&app, wanted).await
}

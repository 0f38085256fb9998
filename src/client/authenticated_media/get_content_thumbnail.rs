//! `GET /_matrix/client/v1/media/thumbnail/{serverName}/{mediaId}`

use std::sync::Arc;

use ruma::{api::client::authenticated_media::get_content_thumbnail::v1::Request, media::Method};

use crate::{
    client::media::serve::{self, Wanted},
    edge::{App, Failure, Prepared, Session},
    media::{ThumbnailMethod, ThumbnailSize},
};

/// Gives a small picture of a picture.
pub(crate) async fn handle(
    app: Arc<App>,
    _caller: Session,
    request: Request,
) -> Result<Prepared, Failure> {
    let wanted = Wanted {
        server_name: &request.server_name,
        media_id: &request.media_id,
        file_name: None,
        timeout: request.timeout_ms,
        range: None,
        sees_ends: false,
        redirect: true,
    };
    let size = ThumbnailSize {
        width: u32::try_from(u64::from(request.width)).unwrap_or(u32::MAX),
        height: u32::try_from(u64::from(request.height)).unwrap_or(u32::MAX),
        method: match request.method {
            Some(Method::Crop) => ThumbnailMethod::Crop,
            _ => ThumbnailMethod::Scale,
        },
        animated: request.animated == Some(true),
    };
    serve::thumbnail(&app, wanted, size).await
}

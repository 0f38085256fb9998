//! `GET /_matrix/media/*/thumbnail/{serverName}/{mediaId}`

#![expect(deprecated, reason = "old clients know nothing newer")]

use std::sync::Arc;

use ruma::{api::client::media::get_content_thumbnail::v3::Request, media::Method};

use crate::{
    client::media::serve::{self, Wanted},
    edge::{App, Failure, Prepared},
    media::{ThumbnailMethod, ThumbnailSize},
};

/// Gives a small picture of a picture.
pub(crate) async fn handle(
    app: Arc<App>,
    _caller: (),
    request: Request,
) -> Result<Prepared, Failure> {
    serve::must_be_open(&app)?;
    serve::must_be_allowed(&app, &request.server_name, request.allow_remote)?;
    let wanted = Wanted {
        server_name: &request.server_name,
        media_id: &request.media_id,
        file_name: None,
        timeout: request.timeout_ms,
        range: None,
        sees_ends: false,
        redirect: request.allow_redirect,
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

//! `GET /_matrix/federation/v1/media/thumbnail/{mediaId}`

use std::sync::Arc;

use futures_util::stream;
use ruma::{
    api::federation::authenticated_media::get_content_thumbnail::v1::Request, media::Method,
};

use super::multipart::{Part, multipart, whole};
use crate::{
    client::media::serve::{self, Wanted},
    edge::{App, Failure, Peer, Prepared},
    media::{ThumbnailMethod, ThumbnailSize},
};

/// Gives a small picture of a picture.
pub(crate) async fn handle(
    app: Arc<App>,
    _peer: Peer,
    request: Request,
) -> Result<Prepared, Failure> {
    let wanted = Wanted {
        server_name: app.env().server_name(),
        media_id: &request.media_id,
        file_name: None,
        timeout: request.timeout_ms,
        range: None,
        sees_ends: false,
        redirect: false,
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
    let uploaded = serve::find(&app, &wanted).await?;
    let Some((bytes, content_type)) = serve::small(&app, &uploaded, size).await? else {
        return whole(&app, &uploaded).await;
    };
    let part = Part {
        content_type: content_type.to_owned(),
        disposition: "inline; filename=thumbnail".to_owned(),
        length: bytes.len() as u64,
        pieces: Box::pin(stream::iter([Ok(bytes)])),
    };
    multipart(&app, part)
}

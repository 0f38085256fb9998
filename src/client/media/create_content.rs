//! `POST /_matrix/media/*/upload`

use std::sync::Arc;

use playhouse_actors::media::{MediaCommand, message::Uploaded};
use ruma::{OwnedMxcUri, api::client::media::create_content::v3::Request};

use super::quota;
use crate::{
    client::page,
    edge::{App, Failure, RawJson, Session, Upload},
    media::{Shelf, blobs::BlobError},
};

/// Media IDs have so many characters: too many to be guessed.
const MEDIA_ID_CHARACTERS: usize = 24;

/// Takes a file and gives it an address. The answer comes when file and address are safely on disk.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
    body: Upload,
) -> Result<RawJson, Failure> {
    caller.not_suspended()?;
    let media_id = app.env().random_string(MEDIA_ID_CHARACTERS);
    let described = Described {
        media_id: &media_id,
        content_type: request.content_type,
        file_name: request.filename,
    };
    let is_picture = described
        .content_type
        .as_deref()
        .is_none_or(|content_type| content_type.starts_with("image/"));
    let blob = store(&app, &caller, described, body).await?;
    let blurhash = if is_picture && app.config.media.blurhash {
        blurhash(&app, &blob).await
    } else {
        None
    };
    Ok(page::Object::new()
        .text("content_uri", address(&app, &media_id).as_str())
        .maybe_text("xyz.amorgan.blurhash", blurhash.as_deref())
        .finish())
}

/// The file is there: that it cannot be shown blurred is no reason to say otherwise.
async fn blurhash(app: &App, blob: &str) -> Option<String> {
    match app.thumbnails.blurhash(blob).await {
        Ok(blurhash) => blurhash,
        Err(error) => {
            tracing::warn!(%error, "cannot make a BlurHash");
            None
        }
    }
}

/// What the client says of an upload.
pub(super) struct Described<'a> {
    pub(super) media_id: &'a str,
    pub(super) content_type: Option<String>,
    pub(super) file_name: Option<String>,
}

/// First the bytes, then the record that names them: a crash in between leaves only bytes that nobody knows. Then it is looked whether the bytes are still
/// there. Returns their name.
pub(super) async fn store(
    app: &App,
    caller: &Session,
    described: Described<'_>,
    mut body: Upload,
) -> Result<String, Failure> {
    let is_limited = quota::is_limited(app);
    let length = body.length().unwrap_or(0);
    if length > app.blobs.size_bytes_max() {
        return Err(BlobError::TooLarge(app.blobs.size_bytes_max()).into());
    }
    if is_limited {
        // Looked at before the body is read; judged again when its length is known.
        quota::check(app, &caller.user_id, length).await?;
    }
    let mut upload = app.blobs.begin(Shelf::Uploads);
    while let Some(piece) = body.next().await? {
        upload.write(piece).await?;
    }
    let blob = upload.finish().await?;
    // Two uploads at once must not both take what is left.
    let _turn = if is_limited {
        let turn = app.uploads.of(&caller.user_id).await?;
        quota::check(app, &caller.user_id, blob.size_bytes).await?;
        Some(turn)
    } else {
        None
    };
    let command = MediaCommand::Complete(Uploaded {
        user_id: caller.user_id.to_string(),
        sha256: blob.sha256.clone(),
        size_bytes: blob.size_bytes,
        content_type: described.content_type,
        file_name: described.file_name,
        at_ms: app.env().now_ms(),
    });
    app.house
        .media_command(described.media_id, command)
        .await
        .map_err(playhouse_actors::house::HouseError::from)?;
    blob.confirm().await?;
    Ok(blob.sha256.clone())
}

/// The address of a piece of media of this server.
pub(super) fn address(app: &App, media_id: &str) -> OwnedMxcUri {
    format!("mxc://{}/{media_id}", app.env().server_name()).into()
}

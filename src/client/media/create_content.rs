//! `POST /_matrix/media/*/upload`

use std::sync::Arc;

use playhouse_actors::media::{MediaCommand, message::Uploaded};
use ruma::{OwnedMxcUri, api::client::media::create_content::v3::Request};

use crate::{
    client::page,
    edge::{App, Failure, RawJson, Session, Upload},
    media::Shelf,
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
    store(&app, &caller, described, body).await?;
    Ok(page::Object::new()
        .text("content_uri", address(&app, &media_id).as_str())
        .finish())
}

/// What the client says of an upload.
pub(super) struct Described<'a> {
    pub(super) media_id: &'a str,
    pub(super) content_type: Option<String>,
    pub(super) file_name: Option<String>,
}

/// First the bytes, then the record that names them: a crash in between leaves only bytes that nobody knows.
pub(super) async fn store(
    app: &App,
    caller: &Session,
    described: Described<'_>,
    mut body: Upload,
) -> Result<(), Failure> {
    let mut upload = app.blobs.begin(Shelf::Uploads);
    while let Some(piece) = body.next().await? {
        upload.write(piece).await?;
    }
    let blob = upload.finish().await?;
    let command = MediaCommand::Complete(Uploaded {
        user_id: caller.user_id.to_string(),
        sha256: blob.sha256,
        size_bytes: blob.size_bytes,
        content_type: described.content_type,
        file_name: described.file_name,
        at_ms: app.env().now_ms(),
    });
    app.house
        .media_command(described.media_id, command)
        .await
        .map_err(playhouse_actors::house::HouseError::from)?;
    Ok(())
}

/// The address of a piece of media of this server.
pub(super) fn address(app: &App, media_id: &str) -> OwnedMxcUri {
    format!("mxc://{}/{media_id}", app.env().server_name()).into()
}

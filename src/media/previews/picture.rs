//! The picture of a preview: fetched under the same rules as the page, and kept as media of ours.

use std::io::Cursor;

use bytes::Bytes;
use image::{ImageFormat, ImageReader};
use playhouse_actors::media::{MediaCommand, message::Uploaded};
use ruma::UserId;
use serde_json::{Map, Value};

use super::{PreviewError, work::Worker};
use crate::{media::Shelf, outbound::Fetched};

/// A picture tells its size within so many bytes.
const HEAD_BYTES_MAX: usize = 256 << 10;

/// A longer side is nothing that clients can show.
const SIDE_PIXELS_MAX: u32 = 32_000;

/// Media IDs have so many characters.
const MEDIA_ID_CHARACTERS: usize = 24;

/// What is told of a picture.
pub(super) struct Picture {
    pub(super) uri: String,
    pub(super) content_type: &'static str,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) size_bytes: u64,
}

impl Picture {
    /// Adds it to a preview.
    pub(super) fn tell(self, properties: &mut Map<String, Value>) {
        properties.insert("og:image".to_owned(), self.uri.into());
        properties.insert("og:image:type".to_owned(), self.content_type.into());
        properties.insert("og:image:width".to_owned(), self.width.into());
        properties.insert("og:image:height".to_owned(), self.height.into());
        properties.insert("matrix:image:size".to_owned(), self.size_bytes.into());
    }
}

/// Type and size, of which the beginning of the file is enough: nothing is decoded.
struct Looks {
    content_type: &'static str,
    width: u32,
    height: u32,
}

fn look(head: &[u8], pixels_max: u64) -> Result<Looks, PreviewError> {
    let unreadable = PreviewError::Picture("it is of no type that we know");
    let reader = ImageReader::new(Cursor::new(head))
        .with_guessed_format()
        .map_err(|_| unreadable)?;
    let content_type = match reader.format() {
        Some(ImageFormat::Png) => "image/png",
        Some(ImageFormat::Jpeg) => "image/jpeg",
        Some(ImageFormat::Gif) => "image/gif",
        Some(ImageFormat::WebP) => "image/webp",
        _ => return Err(unreadable),
    };
    let (width, height) = reader.into_dimensions().map_err(|_| unreadable)?;
    if width.max(height) > SIDE_PIXELS_MAX || u64::from(width) * u64::from(height) > pixels_max {
        return Err(PreviewError::Picture("it has too many pixels"));
    }
    Ok(Looks {
        content_type,
        width,
        height,
    })
}

impl Worker {
    /// Takes a picture in. One with a shorter side than `side_min` is refused.
    pub(super) async fn keep_picture(
        &self,
        mut fetched: Fetched,
        user_id: &UserId,
        side_min: u32,
    ) -> Result<Picture, PreviewError> {
        let mut head: Vec<Bytes> = Vec::new();
        let mut head_bytes = 0;
        let mut upload = self.blobs.begin(Shelf::Previews { day: self.today() });
        while let Some(piece) = fetched.piece().await? {
            if head_bytes < HEAD_BYTES_MAX {
                head_bytes += piece.len();
                head.push(piece.clone());
            }
            upload.write(piece).await.map_err(broken)?;
        }
        let looks = look(&head.concat(), self.pixels_max)?;
        if looks.width.min(looks.height) < side_min {
            return Err(PreviewError::Picture("it is too small"));
        }
        let blob = upload.finish().await.map_err(broken)?;
        let env = self.house.env();
        let media_id = env.random_string(MEDIA_ID_CHARACTERS);
        let command = MediaCommand::Complete(Uploaded {
            user_id: user_id.to_string(),
            sha256: blob.sha256,
            size_bytes: blob.size_bytes,
            content_type: Some(looks.content_type.to_owned()),
            file_name: None,
            at_ms: env.now_ms(),
        });
        let kept = self.house.media_command(&media_id, command).await;
        kept.map_err(broken)?;
        Ok(Picture {
            uri: format!("mxc://{}/{media_id}", env.server_name()),
            content_type: looks.content_type,
            width: looks.width,
            height: looks.height,
            size_bytes: blob.size_bytes,
        })
    }
}

fn broken(error: impl std::fmt::Display) -> PreviewError {
    tracing::warn!(%error, "cannot keep the picture of a preview");
    PreviewError::Broken
}

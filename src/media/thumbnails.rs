//! Thumbnails: made when first asked for, kept on disk.

use std::{
    fs,
    io::{self, Cursor},
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use image::{DynamicImage, ImageFormat, ImageReader, Limits, imageops::FilterType};
use tokio::sync::Semaphore;

use super::blobs::{BlobError, Blobs, blocking};

/// An image with a longer side is not decoded.
const SIDE_PIXELS_MAX: u32 = 12_000;

/// Decoding may take so much memory.
const DECODE_BYTES_MAX: u64 = 256 << 20;

/// So many images are decoded at once.
const DECODES_MAX: usize = 2;

/// The sizes that are made, smallest first (client-server API, "Thumbnails").
const SIZES: [(u32, u32, ThumbnailMethod); 5] = [
    (32, 32, ThumbnailMethod::Crop),
    (96, 96, ThumbnailMethod::Crop),
    (320, 240, ThumbnailMethod::Scale),
    (640, 480, ThumbnailMethod::Scale),
    (800, 600, ThumbnailMethod::Scale),
];

/// How an image is made smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ThumbnailMethod {
    /// Cut to the wanted proportions.
    Crop,
    /// Keep the proportions.
    Scale,
}

/// A thumbnail as asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ThumbnailSize {
    /// Wanted width in pixels.
    pub(crate) width: u32,
    /// Wanted height in pixels.
    pub(crate) height: u32,
    /// Wanted method.
    pub(crate) method: ThumbnailMethod,
}

/// A thumbnail, or the fact that there is none.
#[derive(Clone, Debug)]
pub(crate) enum Thumbnail {
    /// An image and its content type.
    Made(Bytes, &'static str),
    /// The original is no larger than what was asked for: give that.
    Original,
    /// Not an image that can be read.
    NotAnImage,
}

/// Makes and keeps thumbnails.
#[derive(Clone)]
pub(crate) struct Thumbnails {
    blobs: Blobs,
    folder: Arc<Path>,
    turns: Arc<Semaphore>,
}

impl Thumbnails {
    /// Thumbnails of these blobs, kept in a folder that may be deleted at any time.
    pub(crate) fn new(blobs: Blobs, folder: PathBuf) -> Self {
        Self {
            blobs,
            folder: folder.into(),
            turns: Arc::new(Semaphore::new(DECODES_MAX)),
        }
    }

    /// A thumbnail at least as large as asked for, where there is one.
    pub(crate) async fn get(
        &self,
        sha256: &str,
        wanted: ThumbnailSize,
    ) -> Result<Thumbnail, BlobError> {
        let size = nearest(wanted);
        let name = format!("{sha256}-{}x{}-{:?}", size.width, size.height, size.method);
        let kept = self.folder.join(sha256.get(..2).unwrap_or("00")).join(name);
        let source = self.blobs.path(sha256);
        let turn = self
            .turns
            .clone()
            .acquire_owned()
            .await
            .map_err(io::Error::other)?;
        let made = blocking(move || {
            let _turn = turn;
            match fs::read(&kept) {
                Ok(image) => Ok(Thumbnail::Made(Bytes::from(image), content_type(&kept))),
                Err(_) => make(&source, &kept, size),
            }
        });
        Ok(made.await?)
    }
}

/// The smallest size we make that is no smaller than wanted; the largest when none is.
fn nearest(wanted: ThumbnailSize) -> ThumbnailSize {
    let large_enough = |(width, height, method): &&(u32, u32, ThumbnailMethod)| {
        *method == wanted.method && *width >= wanted.width && *height >= wanted.height
    };
    let largest = SIZES.iter().rfind(|(.., method)| *method == wanted.method);
    let chosen = SIZES.iter().find(large_enough).or(largest);
    chosen.map_or(wanted, |(width, height, method)| ThumbnailSize {
        width: *width,
        height: *height,
        method: *method,
    })
}

/// Which type a kept thumbnail has: its first bytes tell.
fn content_type(kept: &Path) -> &'static str {
    let mut start = [0; 2];
    let read =
        fs::File::open(kept).and_then(|mut file| io::Read::read_exact(&mut file, &mut start));
    if read.is_ok() && start == [0xFF, 0xD8] {
        "image/jpeg"
    } else {
        "image/png"
    }
}

fn make(source: &Path, kept: &Path, size: ThumbnailSize) -> io::Result<Thumbnail> {
    let mut reader = ImageReader::open(source)?.with_guessed_format()?;
    let format = reader.format();
    let mut limits = Limits::default();
    limits.max_image_width = Some(SIDE_PIXELS_MAX);
    limits.max_image_height = Some(SIDE_PIXELS_MAX);
    limits.max_alloc = Some(DECODE_BYTES_MAX);
    reader.limits(limits);
    let Ok(image) = reader.decode() else {
        return Ok(Thumbnail::NotAnImage);
    };
    if image.width() <= size.width && image.height() <= size.height {
        return Ok(Thumbnail::Original);
    }
    let small = match size.method {
        ThumbnailMethod::Scale => image.resize(size.width, size.height, FilterType::Triangle),
        ThumbnailMethod::Crop => {
            image.resize_to_fill(size.width, size.height, FilterType::Triangle)
        }
    };
    let (bytes, content_type) = encode(small, format)?;
    // Kept for the next time; that it could not be kept is no reason to refuse it now.
    if let Err(error) = keep(kept, &bytes) {
        tracing::warn!(%error, "cannot keep a thumbnail");
    }
    Ok(Thumbnail::Made(Bytes::from(bytes), content_type))
}

/// Writes beside the name and renames, so that nobody reads half a thumbnail.
fn keep(kept: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(parent) = kept.parent() {
        fs::create_dir_all(parent)?;
    }
    let unfinished = kept.with_extension(format!("{:?}", std::thread::current().id()));
    fs::write(&unfinished, bytes)?;
    fs::rename(unfinished, kept)
}

fn encode(small: DynamicImage, source: Option<ImageFormat>) -> io::Result<(Vec<u8>, &'static str)> {
    let mut bytes = Cursor::new(Vec::new());
    // Photographs as JPEG; what may be transparent as PNG.
    let (small, format, content_type) = match source {
        Some(ImageFormat::Jpeg) => (small.into_rgb8().into(), ImageFormat::Jpeg, "image/jpeg"),
        _ => (small, ImageFormat::Png, "image/png"),
    };
    small
        .write_to(&mut bytes, format)
        .map_err(io::Error::other)?;
    Ok((bytes.into_inner(), content_type))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn blob(blobs: &Blobs, bytes: &[u8]) -> String {
        let mut upload = blobs.begin();
        upload.write(bytes).await.unwrap();
        upload.finish().await.unwrap().sha256
    }

    fn asked(width: u32, height: u32, method: ThumbnailMethod) -> ThumbnailSize {
        ThumbnailSize {
            width,
            height,
            method,
        }
    }

    #[tokio::test]
    async fn makes_and_keeps() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(folder.path().join("media"), 1 << 20);
        let thumbnails = Thumbnails::new(blobs.clone(), folder.path().join("thumbnails"));
        let mut png = Cursor::new(Vec::new());
        DynamicImage::new_rgba8(1000, 500)
            .write_to(&mut png, ImageFormat::Png)
            .unwrap();
        let sha256 = blob(&blobs, &png.into_inner()).await;
        for _ in 0..2 {
            let Thumbnail::Made(bytes, "image/png") = thumbnails
                .get(&sha256, asked(300, 200, ThumbnailMethod::Scale))
                .await
                .unwrap()
            else {
                panic!("no thumbnail");
            };
            let image = image::load_from_memory(&bytes).unwrap();
            assert_eq!((image.width(), image.height()), (320, 160));
        }
        let huge = thumbnails
            .get(&sha256, asked(5000, 5000, ThumbnailMethod::Crop))
            .await
            .unwrap();
        assert!(
            matches!(huge, Thumbnail::Made(..)),
            "the largest size stands in: {huge:?}"
        );
    }

    #[tokio::test]
    async fn what_is_no_image_has_no_thumbnail() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(folder.path().join("media"), 1 << 20);
        let thumbnails = Thumbnails::new(blobs.clone(), folder.path().join("thumbnails"));
        let sha256 = blob(&blobs, b"hello").await;
        let answer = thumbnails
            .get(&sha256, asked(32, 32, ThumbnailMethod::Crop))
            .await
            .unwrap();
        assert!(matches!(answer, Thumbnail::NotAnImage));
    }
}

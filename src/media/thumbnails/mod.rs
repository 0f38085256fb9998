//! Thumbnails: made when first asked for, kept with the blobs.

use std::{
    io::{self, Cursor},
    path::Path,
    sync::Arc,
};

use bytes::Bytes;
use image::{
    DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits, imageops::FilterType,
};
use tokio::sync::Semaphore;

use super::{
    address, animation,
    blobs::{BlobError, Blobs, blocking},
};
use crate::config::Media;

/// An image with a longer side is not decoded.
const SIDE_PIXELS_MAX: u32 = 20_000;

/// Decoding may take so much memory.
const DECODE_BYTES_MAX: u64 = 256 << 20;

/// So many images are decoded at once.
const DECODES_MAX: usize = 2;

/// No thumbnail has a longer side.
const THUMBNAIL_SIDE_MAX: u32 = 1_600;

/// What is shown blurred is made so small before.
const BLURRED_SIDE_PIXELS: u32 = 64;

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
    /// It should move when the original does.
    pub(crate) animated: bool,
}

impl ThumbnailSize {
    fn shrink(&self, image: DynamicImage) -> DynamicImage {
        match self.method {
            ThumbnailMethod::Scale => image.resize(self.width, self.height, FilterType::Triangle),
            ThumbnailMethod::Crop => {
                // Nothing is made larger than it was.
                let (width, height) = (
                    image.width().min(self.width),
                    image.height().min(self.height),
                );
                image.resize_to_fill(width, height, FilterType::Triangle)
            }
        }
    }

    fn name(&self) -> String {
        let method = match self.method {
            ThumbnailMethod::Crop => "crop",
            ThumbnailMethod::Scale => "scale",
        };
        let moving = if self.animated { "-moving" } else { "" };
        format!("{}x{}-{method}{moving}", self.width, self.height)
    }
}

/// A thumbnail, or the fact that there is none.
#[derive(Clone, Debug)]
pub(crate) enum Thumbnail {
    /// An image and its content type.
    Made(Bytes, &'static str),
    /// The original is no larger than what was asked for: give that.
    Original,
    /// It has more pixels than are decoded.
    TooLarge,
    /// Not an image that can be read.
    NotAnImage,
}

/// Makes and keeps thumbnails.
#[derive(Clone)]
pub(crate) struct Thumbnails {
    blobs: Blobs,
    pixels_max: u64,
    any_size: bool,
    turns: Arc<Semaphore>,
}

impl Thumbnails {
    /// Thumbnails of these blobs.
    pub(crate) fn new(blobs: Blobs, media: &Media) -> Self {
        Self {
            blobs,
            pixels_max: media.thumbnail_pixels_max,
            any_size: media.thumbnails_any_size,
            turns: Arc::new(Semaphore::new(DECODES_MAX)),
        }
    }

    /// A BlurHash of a picture (MSC2448): a text of a few dozen characters that shows it blurred. Nothing for what is no picture, or too large.
    pub(crate) async fn blurhash(&self, blob: &str) -> Result<Option<String>, BlobError> {
        let _turn = self.turns.acquire().await.map_err(io::Error::other)?;
        let source = self.blobs.file(blob).await?;
        let pixels_max = self.pixels_max;
        Ok(blocking(move || blurhash(&source.path, pixels_max)).await?)
    }

    /// A thumbnail at least as large as asked for, where there is one.
    pub(crate) async fn get(
        &self,
        blob: &str,
        wanted: ThumbnailSize,
    ) -> Result<Thumbnail, BlobError> {
        let size = if self.any_size {
            bounded(wanted)
        } else {
            nearest(wanted)
        };
        let path = address::thumbnail_path(blob, &size.name()).ok_or(BlobError::Missing)?;
        match self.blobs.small(&path).await {
            Ok(kept) => {
                let content_type = content_type(&kept);
                return Ok(Thumbnail::Made(kept, content_type));
            }
            Err(BlobError::Missing) => {}
            Err(error) => tracing::warn!(%error, "cannot read a thumbnail"),
        }
        let turn = self.turns.acquire().await.map_err(io::Error::other)?;
        let source = self.blobs.file(blob).await?;
        let pixels_max = self.pixels_max;
        let made = blocking(move || make(&source.path, size, pixels_max)).await;
        drop(turn);
        let made = match made {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(BlobError::Missing);
            }
            made => made?,
        };
        if let Thumbnail::Made(bytes, _) = &made {
            // Kept for the next time; that it could not be kept is no reason to refuse it now.
            if let Err(error) = self.blobs.keep_small(&path, bytes.clone()).await {
                tracing::warn!(%error, "cannot keep a thumbnail");
            }
        }
        Ok(made)
    }
}

/// The smallest size we make that is no smaller than wanted; the largest when none is.
fn nearest(wanted: ThumbnailSize) -> ThumbnailSize {
    let large_enough = |(width, height, method): &&(u32, u32, ThumbnailMethod)| {
        *method == wanted.method && *width >= wanted.width && *height >= wanted.height
    };
    let largest = SIZES.iter().rfind(|(.., method)| *method == wanted.method);
    let chosen = SIZES.iter().find(large_enough).or(largest);
    chosen.map_or(wanted, |(width, height, _)| ThumbnailSize {
        width: *width,
        height: *height,
        ..wanted
    })
}

/// The size itself, as far as thumbnails go.
fn bounded(wanted: ThumbnailSize) -> ThumbnailSize {
    ThumbnailSize {
        width: wanted.width.clamp(1, THUMBNAIL_SIDE_MAX),
        height: wanted.height.clamp(1, THUMBNAIL_SIDE_MAX),
        ..wanted
    }
}

/// Which type a kept thumbnail has: its first bytes tell.
fn content_type(kept: &[u8]) -> &'static str {
    match kept {
        [0xFF, 0xD8, ..] => "image/jpeg",
        [b'G', b'I', b'F', ..] => "image/gif",
        _ => "image/png",
    }
}

fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.max_image_width = Some(SIDE_PIXELS_MAX);
    limits.max_image_height = Some(SIDE_PIXELS_MAX);
    limits.max_alloc = Some(DECODE_BYTES_MAX);
    limits
}

fn make(source: &Path, size: ThumbnailSize, pixels_max: u64) -> io::Result<Thumbnail> {
    let (decoder, format) = match open(source, pixels_max)? {
        Ok(opened) => opened,
        Err(none) => return Ok(none),
    };
    let (width, height) = decoder.dimensions();
    if width <= size.width && height <= size.height {
        return Ok(Thumbnail::Original);
    }
    if size.animated {
        let shrink = |frame| size.shrink(DynamicImage::ImageRgba8(frame)).into_rgba8();
        if let Some(moving) = animation::animate(source, limits(), shrink)? {
            return Ok(Thumbnail::Made(Bytes::from(moving), "image/gif"));
        }
    }
    let image = match decode(decoder) {
        Ok(image) => image,
        Err(none) => return Ok(none),
    };
    let (bytes, content_type) = encode(size.shrink(image), format)?;
    Ok(Thumbnail::Made(Bytes::from(bytes), content_type))
}

/// A decoder for a picture, and its format; else why there is no thumbnail.
fn open(
    source: &Path,
    pixels_max: u64,
) -> io::Result<Result<(impl ImageDecoder + use<>, Option<ImageFormat>), Thumbnail>> {
    let mut reader = ImageReader::open(source)?.with_guessed_format()?;
    let format = reader.format();
    reader.limits(limits());
    let decoder = match reader.into_decoder() {
        Ok(decoder) => decoder,
        Err(error) => return Ok(Err(none(&error))),
    };
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > pixels_max {
        return Ok(Err(Thumbnail::TooLarge));
    }
    Ok(Ok((decoder, format)))
}

fn decode(mut decoder: impl ImageDecoder) -> Result<DynamicImage, Thumbnail> {
    // Cameras tell which side is up instead of turning the picture.
    let orientation = decoder.orientation().ok();
    let mut image = DynamicImage::from_decoder(decoder).map_err(|error| none(&error))?;
    if let Some(orientation) = orientation {
        image.apply_orientation(orientation);
    }
    Ok(image)
}

fn none(error: &ImageError) -> Thumbnail {
    match error {
        ImageError::Limits(_) => Thumbnail::TooLarge,
        _ => Thumbnail::NotAnImage,
    }
}

fn blurhash(source: &Path, pixels_max: u64) -> io::Result<Option<String>> {
    let Ok((decoder, _)) = open(source, pixels_max)? else {
        return Ok(None);
    };
    let Ok(image) = decode(decoder) else {
        return Ok(None);
    };
    let small = image
        .thumbnail(BLURRED_SIDE_PIXELS, BLURRED_SIDE_PIXELS)
        .into_rgba8();
    // The longer side gets more of the detail.
    let (across, down) = if small.width() >= small.height() {
        (4, 3)
    } else {
        (3, 4)
    };
    blurhash::encode(across, down, small.width(), small.height(), &small)
        .map(Some)
        .map_err(io::Error::other)
}

fn encode(small: DynamicImage, source: Option<ImageFormat>) -> io::Result<(Vec<u8>, &'static str)> {
    let mut bytes = Cursor::new(Vec::new());
    // Photographs as JPEG; what may be transparent as PNG.
    let (small, format, content_type) = match source {
        Some(ImageFormat::Jpeg) => (small.into_rgb8().into(), ImageFormat::Jpeg, "image/jpeg"),
        _ => (small.into_rgba8().into(), ImageFormat::Png, "image/png"),
    };
    let small: DynamicImage = small;
    small
        .write_to(&mut bytes, format)
        .map_err(io::Error::other)?;
    Ok((bytes.into_inner(), content_type))
}

#[cfg(test)]
mod tests;

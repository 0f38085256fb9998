//! Thumbnails that move.

use std::{
    fs::File,
    io::{self, BufReader, Seek as _},
    path::Path,
};

use image::{
    AnimationDecoder as _, Frame, Frames, ImageDecoder as _, ImageFormat, ImageResult, Limits,
    RgbaImage,
    codecs::{
        gif::{GifDecoder, GifEncoder, Repeat},
        png::PngDecoder,
        webp::WebPDecoder,
    },
};

/// What is longer is cut.
const FRAMES_MAX: usize = 250;

/// Decoding an animation may go through so many pixels, all frames together.
const PIXELS_MAX: u64 = 200_000_000;

/// From 1 (best) to 30 (fastest).
const ENCODER_SPEED: i32 = 10;

/// The animation made smaller by `shrink`, as a GIF. Nothing when the picture does not move, or is too much work to move.
pub(super) fn animate(
    source: &Path,
    limits: Limits,
    shrink: impl Fn(RgbaImage) -> RgbaImage,
) -> io::Result<Option<Vec<u8>>> {
    let mut file = BufReader::new(File::open(source)?);
    let format = image::ImageReader::new(&mut file)
        .with_guessed_format()?
        .format();
    file.rewind()?;
    let Ok(Some((frames, pixels))) = frames(file, format, limits) else {
        return Ok(None);
    };
    let frames_max = (PIXELS_MAX / pixels.max(1)).min(FRAMES_MAX as u64) as usize;
    let mut moving = Vec::new();
    let mut encoder = GifEncoder::new_with_speed(&mut moving, ENCODER_SPEED);
    let mut count = 0;
    for frame in frames.take(frames_max) {
        // What breaks off is shown as far as it goes.
        let Ok(frame) = frame else { break };
        let delay = frame.delay();
        let small = Frame::from_parts(shrink(frame.into_buffer()), 0, 0, delay);
        if count == 0 {
            encoder
                .set_repeat(Repeat::Infinite)
                .map_err(io::Error::other)?;
        }
        encoder.encode_frame(small).map_err(io::Error::other)?;
        count += 1;
    }
    drop(encoder);
    Ok((count > 1).then_some(moving))
}

/// The frames, decoded one after the other, and how many pixels each has.
fn frames(
    file: BufReader<File>,
    format: Option<ImageFormat>,
    limits: Limits,
) -> ImageResult<Option<(Frames<'static>, u64)>> {
    let area = |(width, height): (u32, u32)| u64::from(width) * u64::from(height);
    Ok(match format {
        Some(ImageFormat::Gif) => {
            let mut decoder = GifDecoder::new(file)?;
            decoder.set_limits(limits)?;
            let pixels = area(decoder.dimensions());
            Some((decoder.into_frames(), pixels))
        }
        Some(ImageFormat::WebP) => {
            let mut decoder = WebPDecoder::new(file)?;
            decoder.set_limits(limits)?;
            let pixels = area(decoder.dimensions());
            decoder
                .has_animation()
                .then(|| (decoder.into_frames(), pixels))
        }
        Some(ImageFormat::Png) => {
            let decoder = PngDecoder::with_limits(file, limits)?;
            let pixels = area(decoder.dimensions());
            if !decoder.is_apng()? {
                return Ok(None);
            }
            Some((decoder.apng()?.into_frames(), pixels))
        }
        _ => None,
    })
}

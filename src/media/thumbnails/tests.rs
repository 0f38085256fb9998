use image::{
    AnimationDecoder as _, Delay, Frame, RgbaImage,
    codecs::gif::{GifDecoder, GifEncoder},
};

use super::*;
use crate::media::Shelf;

async fn blob(blobs: &Blobs, bytes: Vec<u8>) -> String {
    let mut upload = blobs.begin(Shelf::Uploads);
    upload.write(bytes.into()).await.unwrap();
    upload.finish().await.unwrap().sha256
}

fn asked(width: u32, height: u32, method: ThumbnailMethod) -> ThumbnailSize {
    ThumbnailSize {
        width,
        height,
        method,
        animated: false,
    }
}

fn open(folder: &Path, media: &Media) -> (Blobs, Thumbnails) {
    let blobs = Blobs::open(media, folder.to_owned()).unwrap();
    (blobs.clone(), Thumbnails::new(blobs, media))
}

fn png(width: u32, height: u32) -> Vec<u8> {
    let mut png = Cursor::new(Vec::new());
    let image = DynamicImage::new_rgba8(width, height);
    image.write_to(&mut png, ImageFormat::Png).unwrap();
    png.into_inner()
}

fn moving(width: u32, height: u32, frames: u32) -> Vec<u8> {
    let mut gif = Vec::new();
    let mut encoder = GifEncoder::new_with_speed(&mut gif, 30);
    for number in 0..frames {
        let colour = image::Rgba([(number * 80) as u8, 0, 0, 255]);
        let image = RgbaImage::from_pixel(width, height, colour);
        let delay = Delay::from_numer_denom_ms(100, 1);
        encoder
            .encode_frame(Frame::from_parts(image, 0, 0, delay))
            .unwrap();
    }
    drop(encoder);
    gif
}

#[tokio::test]
async fn makes_and_keeps() {
    let folder = tempfile::tempdir().unwrap();
    let (blobs, thumbnails) = open(folder.path(), &Media::default());
    let name = blob(&blobs, png(1000, 500)).await;
    for _ in 0..2 {
        let size = asked(300, 200, ThumbnailMethod::Scale);
        let Thumbnail::Made(bytes, "image/png") = thumbnails.get(&name, size).await.unwrap() else {
            panic!("no thumbnail");
        };
        let image = image::load_from_memory(&bytes).unwrap();
        assert_eq!((image.width(), image.height()), (320, 160));
    }
    let size = asked(5000, 5000, ThumbnailMethod::Crop);
    let huge = thumbnails.get(&name, size).await.unwrap();
    assert!(
        matches!(huge, Thumbnail::Made(..)),
        "the largest size stands in: {huge:?}"
    );
}

#[tokio::test]
async fn what_is_no_image_has_no_thumbnail() {
    let folder = tempfile::tempdir().unwrap();
    let media = Media {
        thumbnail_pixels_max: 10_000,
        ..Media::default()
    };
    let (blobs, thumbnails) = open(folder.path(), &media);
    let size = asked(32, 32, ThumbnailMethod::Crop);
    let text = blob(&blobs, b"hello".to_vec()).await;
    let answer = thumbnails.get(&text, size).await.unwrap();
    assert!(matches!(answer, Thumbnail::NotAnImage));
    let large = blob(&blobs, png(101, 100)).await;
    let answer = thumbnails.get(&large, size).await.unwrap();
    assert!(matches!(answer, Thumbnail::TooLarge));
    let fits = blob(&blobs, png(100, 100)).await;
    let answer = thumbnails.get(&fits, size).await.unwrap();
    assert!(matches!(answer, Thumbnail::Made(..)));
}

#[tokio::test]
async fn any_size_when_switched_on() {
    let folder = tempfile::tempdir().unwrap();
    let media = Media {
        thumbnails_any_size: true,
        ..Media::default()
    };
    let (blobs, thumbnails) = open(folder.path(), &media);
    let name = blob(&blobs, png(1000, 500)).await;
    for (size, wanted) in [
        (asked(70, 50, ThumbnailMethod::Crop), (70, 50)),
        (asked(70, 70, ThumbnailMethod::Scale), (70, 35)),
        (asked(700, 9000, ThumbnailMethod::Crop), (700, 500)),
    ] {
        let Thumbnail::Made(bytes, _) = thumbnails.get(&name, size).await.unwrap() else {
            panic!("no thumbnail");
        };
        let image = image::load_from_memory(&bytes).unwrap();
        assert_eq!((image.width(), image.height()), wanted);
    }
}

#[tokio::test]
async fn what_moves_goes_on_moving_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let (blobs, thumbnails) = open(folder.path(), &Media::default());
    let name = blob(&blobs, moving(400, 300, 3)).await;
    let mut size = asked(96, 96, ThumbnailMethod::Crop);
    let still = thumbnails.get(&name, size).await.unwrap();
    assert!(
        matches!(still, Thumbnail::Made(_, "image/png")),
        "{still:?}"
    );
    size.animated = true;
    for _ in 0..2 {
        let Thumbnail::Made(bytes, "image/gif") = thumbnails.get(&name, size).await.unwrap() else {
            panic!("it stands still");
        };
        let decoder = GifDecoder::new(Cursor::new(bytes)).unwrap();
        let frames = decoder.into_frames().collect_frames().unwrap();
        assert_eq!(frames.len(), 3);
        assert_eq!(frames[0].buffer().dimensions(), (96, 96));
    }
    let single = blob(&blobs, moving(400, 300, 1)).await;
    let answer = thumbnails.get(&single, size).await.unwrap();
    assert!(matches!(answer, Thumbnail::Made(_, "image/png")));
}

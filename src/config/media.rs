//! `[media]`: uploads and downloads.

use super::section::section;

section! {
    /// Uploads and downloads.
    "media" Media {
        /// The folder for media; relative paths start in the data folder.
        dir: String = "media".to_owned();
        /// The largest upload.
        upload_bytes_max: u64 = 104_857_600;
        /// Pictures with more pixels are not made into thumbnails.
        thumbnail_pixels_max: u64 = 40_000_000;
        /// Old clients may still download without a token.
        unauthenticated_download: bool = true;
    }
}

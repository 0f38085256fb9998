//! `[media]`: uploads and downloads.

use super::section::section;

section! {
    /// Uploads and downloads.
    "media" Media {
        /// The folder for media; relative paths start in the data folder.
        dir: String = "media".to_owned();
        /// The largest upload.
        upload_bytes_max: u64 = 104_857_600;
        /// Keeps media in a bucket of an object store instead of the folder, where uploads then only pass through.
        storage: Option<String> = None, sample "s3://bucket/prefix";
        /// The object store's URL, when it is not Amazon's.
        s3_endpoint: Option<String> = None, sample "https://s3.example.org";
        /// The object store's region.
        s3_region: String = "us-east-1".to_owned();
        /// The access key's ID. Without it the environment of the machine is asked (instance profiles).
        s3_access_key_id: Option<String> = None, sample "playhouse";
        /// The secret that belongs to the access key.
        s3_secret_access_key: Option<String> = None, sample "secret";
        /// Pictures with more pixels are not made into thumbnails.
        thumbnail_pixels_max: u64 = 40_000_000;
        /// Thumbnails are made in exactly the size that is asked for, instead of the next of five usual ones.
        thumbnails_any_size: bool = false;
        /// Old clients may still download without a token.
        unauthenticated_download: bool = true;
    }
}

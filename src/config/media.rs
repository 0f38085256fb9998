//! `[media]`: uploads and downloads.

use serde::{Deserialize, Serialize};

use super::section::{Form, Setting, section};

section! {
    /// Uploads and downloads.
    "media" Media {
        /// The folder for media; relative paths start in the data folder.
        dir: String = "media".to_owned();
        /// The largest upload.
        upload_bytes_max: u64 = 104_857_600;
        /// So much may each user upload in all; 0 is no limit.
        quota_bytes_per_user: u64 = 0;
        /// So much may each user upload in a time: each `{ period_seconds, bytes_max, info_uri, can_upgrade }`, of which the last two may be missing. They tell
        /// clients where people learn more, and whether they can get more.
        upload_limits: Vec<UploadLimit> = Vec::new();
        /// So many addresses may each user be given before their content.
        pending_uploads_max: u64 = 10;
        /// An address waits so long for its content, milliseconds.
        pending_upload_ms: u64 = 86_400_000;
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
        /// Clients are sent to the object store for content, by an address that serves for five minutes; the bucket must allow it to browsers (CORS).
        redirect_downloads: bool = false;
        /// Pictures with more pixels are not made into thumbnails.
        thumbnail_pixels_max: u64 = 40_000_000;
        /// Thumbnails are made in exactly the size that is asked for, instead of the next of five usual ones.
        thumbnails_any_size: bool = false;
        /// Who uploads a picture is told a BlurHash of it (MSC2448), a small blurred picture as text, for clients which do not make one.
        blurhash: bool = false;
        /// Old clients may still download without a token.
        unauthenticated_download: bool = true;
        /// Copies of other servers' media are dropped when nobody has used them for so long, milliseconds. They are fetched again when somebody wants them. 0: never.
        remote_lifetime_ms: u64 = 0;
        /// Media of this server is deleted when nobody has used it for so long, milliseconds: it cannot be had again. What administrators put away or protect, and
        /// pictures of users and rooms, stay. 0: never.
        local_lifetime_ms: u64 = 0;
        /// How often media is looked for that nobody has used for so long, milliseconds.
        sweep_every_ms: u64 = 3_600_000;
    }
}

/// That something is used is noted once in so long a time at most.
const USE_NOTED_EVERY_MS: u64 = 24 * 60 * 60 * 1_000;

impl Media {
    /// That a piece of media is used is noted once in so long a time, which is short beside what it lives without use.
    pub(crate) fn use_noted_every_ms(&self) -> u64 {
        [self.remote_lifetime_ms, self.local_lifetime_ms]
            .into_iter()
            .filter(|lifetime_ms| *lifetime_ms > 0)
            .map(|lifetime_ms| (lifetime_ms / 4).max(1))
            .fold(USE_NOTED_EVERY_MS, u64::min)
    }
}

/// A limit of uploads for each user.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UploadLimit {
    /// In so long a time; ever, when it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period_seconds: Option<u64>,
    /// So much.
    pub bytes_max: u64,
    /// Where people learn more; a page of this server when it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub info_uri: Option<String>,
    /// Whether they can get more.
    #[serde(default)]
    pub can_upgrade: bool,
}

impl Setting for Vec<UploadLimit> {
    const FORM: Form = Form::Tables;
}

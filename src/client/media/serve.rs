//! Giving media out, whoever asks.

use std::time::Duration;

use actix_web::http::{
    StatusCode,
    header::{self, HeaderName, HeaderValue},
};
use bytes::Bytes;
use playhouse_actors::media::{
    MediaAnswer,
    message::{Reserved, Uploaded},
};
use ruma::{ServerName, api::error::ErrorCode};

use super::remote;
use crate::{
    edge::{App, AskedRange, Failure, Prepared},
    media::{ThumbnailSize, blobs::BlobError, presentation, thumbnails::Thumbnail},
};

/// Content is awaited for so long at most.
const TIMEOUT_MAX: Duration = Duration::from_secs(60);

/// A piece of media as asked for.
pub(crate) struct Wanted<'a> {
    /// Whose.
    pub(crate) server_name: &'a ServerName,
    /// Which.
    pub(crate) media_id: &'a str,
    /// Another name than the uploader's.
    pub(crate) file_name: Option<&'a str>,
    /// How long to wait for content that is still to come.
    pub(crate) timeout: Duration,
    /// Only a part of it.
    pub(crate) range: Option<AskedRange>,
    /// Whoever asks goes where the content lies, when told so. With a token, clients always do.
    pub(crate) redirect: bool,
}

/// The content, or a part of it.
pub(crate) async fn content(app: &App, wanted: Wanted<'_>) -> Result<Prepared, Failure> {
    let uploaded = find(app, &wanted).await?;
    let content_type = presentation::content_type(uploaded.content_type.as_deref());
    let file_name = wanted.file_name.or(uploaded.file_name.as_deref());
    let disposition = presentation::content_disposition(&content_type, file_name);
    let shown = (content_type.as_str(), disposition.as_str());
    if wanted.redirect
        && let Some(url) = app.blobs.signed_url(&uploaded.sha256, shown).await?
    {
        return redirection(&url);
    }
    let size = uploaded.size_bytes;
    // What has an address never changes.
    let tag = format!("\"{}\"", wanted.media_id);
    let asked = wanted.range.as_ref();
    let Ok(range) = asked.map_or(Ok(None), |asked| asked.of(size, &tag)) else {
        return Ok(out_of_range(size));
    };
    let pieces = app.blobs.read(&uploaded.sha256, range.clone()).await?;
    let part = range.clone().unwrap_or(0..size);
    let length = part.end - part.start;
    let mut prepared = safe(Prepared::stream(value(&content_type)?, length, pieces))
        .with_header(header::CONTENT_DISPOSITION, value(&disposition)?)
        .with_header(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        prepared = prepared.with_header(header::ETAG, tag);
    }
    if range.is_some() {
        let told = format!("bytes {}-{}/{size}", part.start, part.end - 1);
        prepared = prepared
            .with_header(header::CONTENT_RANGE, value(&told)?)
            .with_status(StatusCode::PARTIAL_CONTENT);
    }
    Ok(prepared)
}

/// Sends a client where the content lies. The address serves for a short time only: nobody is to keep the answer.
fn redirection(url: &str) -> Result<Prepared, Failure> {
    Ok(Prepared::text("")
        .with_header(header::LOCATION, value(url)?)
        .with_header(
            HeaderName::from_static("cross-origin-resource-policy"),
            HeaderValue::from_static("cross-origin"),
        )
        .with_header(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))
        .with_status(StatusCode::TEMPORARY_REDIRECT))
}

/// There are no such bytes.
fn out_of_range(size: u64) -> Prepared {
    let prepared = Prepared::text("").with_status(StatusCode::RANGE_NOT_SATISFIABLE);
    match HeaderValue::from_str(&format!("bytes */{size}")) {
        Ok(told) => prepared.with_header(header::CONTENT_RANGE, told),
        Err(_) => prepared,
    }
}

/// A thumbnail; the content itself when that is no larger.
pub(crate) async fn thumbnail(
    app: &App,
    wanted: Wanted<'_>,
    size: ThumbnailSize,
) -> Result<Prepared, Failure> {
    let uploaded = find(app, &wanted).await?;
    let Some((bytes, content_type)) = small(app, &uploaded, size).await? else {
        return content(app, wanted).await;
    };
    let prepared = Prepared::bytes(HeaderValue::from_static(content_type), bytes);
    Ok(safe(prepared).with_header(
        header::CONTENT_DISPOSITION,
        HeaderValue::from_static("inline; filename=thumbnail"),
    ))
}

/// A small picture and its type; `None` when the content itself is no larger.
pub(crate) async fn small(
    app: &App,
    uploaded: &Uploaded,
    size: ThumbnailSize,
) -> Result<Option<(Bytes, &'static str)>, Failure> {
    if size.width == 0 || size.height == 0 {
        return Err(Failure::invalid_param(
            "a thumbnail has a width and a height",
        ));
    }
    match app.thumbnails.get(&uploaded.sha256, size).await? {
        Thumbnail::Made(bytes, content_type) => Ok(Some((bytes, content_type))),
        Thumbnail::Original => Ok(None),
        Thumbnail::TooLarge => Err(Failure::new(
            ErrorCode::TooLarge,
            "this picture is too large for a thumbnail",
        )),
        Thumbnail::NotAnImage => Err(Failure::new(
            ErrorCode::Unknown,
            "there can be no thumbnail of this media",
        )),
    }
}

/// Downloads without a token can be switched off.
pub(crate) fn must_be_open(app: &App) -> Result<(), Failure> {
    if app.config.media.unauthenticated_download {
        return Ok(());
    }
    Err(Failure::not_found(
        "media is given out only with a token, below /_matrix/client/v1/media",
    ))
}

/// Who asks can be content with what is of this server: servers do, so that they do not ask in circles.
pub(crate) fn must_be_allowed(
    app: &App,
    server_name: &ServerName,
    allow_remote: bool,
) -> Result<(), Failure> {
    if allow_remote || app.house.is_local(server_name) {
        return Ok(());
    }
    Err(Failure::not_found("this media is not of this server"))
}

/// What is known of a piece of media. That of another server is fetched from there.
pub(crate) async fn find(app: &App, wanted: &Wanted<'_>) -> Result<Uploaded, Failure> {
    if !app.house.is_local(wanted.server_name) {
        return remote::find(app, wanted).await;
    }
    let described = app
        .house
        .await_media(wanted.media_id, wanted.timeout.min(TIMEOUT_MAX))
        .await;
    match described {
        Ok(MediaAnswer::There { uploaded, used_ms }) => {
            note_use(app, wanted.media_id, used_ms);
            Ok(uploaded)
        }
        Ok(MediaAnswer::Awaited(reserved)) => Err(still_awaited(app, &reserved)),
        Ok(MediaAnswer::Facts(_)) => Err(Failure::internal("unexpected answer to Describe")),
        Err(error) => Err(playhouse_actors::house::HouseError::from(error).into()),
    }
}

/// Has it noted that a piece of media is used, when the last note of it is old: no download costs a write but the first of its time.
pub(super) fn note_use(app: &App, key: &str, used_ms: u64) {
    let every_ms = app.config.media.use_noted_every_ms();
    if app.env().now_ms().saturating_sub(used_ms) >= every_ms {
        app.house.note_media_use(key.to_owned(), every_ms);
    }
}

fn still_awaited(app: &App, reserved: &Reserved) -> Failure {
    if app.env().now_ms() > reserved.expires_ms {
        return Failure::not_found("the content was never uploaded");
    }
    Failure::new(ErrorCode::NotYetUploaded, "the content is not there yet")
}

/// What keeps a browser from running what it is given.
fn safe(prepared: Prepared) -> Prepared {
    prepared
        .with_header(
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static(presentation::CONTENT_SECURITY_POLICY),
        )
        .with_header(
            HeaderName::from_static("cross-origin-resource-policy"),
            HeaderValue::from_static("cross-origin"),
        )
        .with_header(
            header::CACHE_CONTROL,
            HeaderValue::from_static("private, max-age=86400, immutable"),
        )
        .with_header(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        )
        .with_status(StatusCode::OK)
}

fn value(text: &str) -> Result<HeaderValue, Failure> {
    HeaderValue::from_str(text).map_err(Failure::internal)
}

impl From<BlobError> for Failure {
    fn from(error: BlobError) -> Self {
        match error {
            BlobError::TooLarge(bytes_max) => Failure::new(
                ErrorCode::TooLarge,
                format!("media may have {bytes_max} bytes"),
            ),
            // Pictures of previews are kept for some days only.
            BlobError::Missing => Failure::not_found("this media is not kept any more"),
            BlobError::Damaged | BlobError::Disk(_) | BlobError::Store(_) => {
                Failure::internal(error)
            }
        }
    }
}

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

use super::remote::{self, Coming, Found};
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
    /// Whoever asks can tell the end of a body of unknown length: content may be given out while it comes.
    pub(crate) sees_ends: bool,
    /// Whoever asks goes where the content lies, when told so. With a token, clients always do.
    pub(crate) redirect: bool,
}

/// The content, or a part of it.
pub(crate) async fn content(app: &App, wanted: Wanted<'_>) -> Result<Prepared, Failure> {
    let uploaded = match begin(app, &wanted).await? {
        Found::Kept(uploaded) => uploaded,
        Found::Coming(coming) => return still_coming(&wanted, coming),
    };
    let shown = Shown::of(
        &wanted,
        uploaded.content_type.as_deref(),
        uploaded.file_name.as_deref(),
    );
    let headers = (shown.content_type.as_str(), shown.disposition.as_str());
    if wanted.redirect
        && let Some(url) = app.blobs.signed_url(&uploaded.sha256, headers).await?
    {
        return redirection(&url);
    }
    let size = uploaded.size_bytes;
    let asked = wanted.range.as_ref();
    let Ok(range) = asked.map_or(Ok(None), |asked| asked.of(size, &shown.tag)) else {
        return Ok(out_of_range(size));
    };
    let pieces = app.blobs.read(&uploaded.sha256, range.clone()).await?;
    let part = range.clone().unwrap_or(0..size);
    let length = part.end - part.start;
    let body = Prepared::stream(value(&shown.content_type)?, length, pieces);
    let mut prepared = shown.with_headers(body)?;
    if range.is_some() {
        let told = format!("bytes {}-{}/{size}", part.start, part.end - 1);
        prepared = prepared
            .with_header(header::CONTENT_RANGE, value(&told)?)
            .with_status(StatusCode::PARTIAL_CONTENT);
    }
    Ok(prepared)
}

/// Finds what is to be given out. Of what comes from another server no more than the beginning need be here, when all of it is wanted.
async fn begin(app: &App, wanted: &Wanted<'_>) -> Result<Found, Failure> {
    let is_remote = !app.house.is_local(wanted.server_name);
    if is_remote && wanted.sees_ends && wanted.range.is_none() {
        return remote::open(app, wanted).await;
    }
    Ok(Found::Kept(find(app, wanted).await?))
}

/// Content that is given out as it comes, with the length that it is told to have.
fn still_coming(wanted: &Wanted<'_>, coming: Coming) -> Result<Prepared, Failure> {
    let Coming { head, pieces } = coming;
    let shown = Shown::of(
        wanted,
        head.content_type.as_deref(),
        head.file_name.as_deref(),
    );
    let content_type = value(&shown.content_type)?;
    shown.with_headers(match head.length {
        Some(length) => Prepared::stream(content_type, length, pieces),
        None => Prepared::unmeasured_stream(content_type, pieces),
    })
}

/// How content is shown.
struct Shown {
    content_type: String,
    disposition: String,
    tag: String,
}

impl Shown {
    fn of(wanted: &Wanted<'_>, told_type: Option<&str>, told_name: Option<&str>) -> Self {
        let content_type = presentation::content_type(told_type);
        let file_name = wanted.file_name.or(told_name);
        Self {
            disposition: presentation::content_disposition(&content_type, file_name),
            content_type,
            // What has an address never changes.
            tag: format!("\"{}\"", wanted.media_id),
        }
    }

    fn with_headers(&self, prepared: Prepared) -> Result<Prepared, Failure> {
        let prepared = safe(prepared)
            .with_header(header::CONTENT_DISPOSITION, value(&self.disposition)?)
            .with_header(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        Ok(match HeaderValue::from_str(&self.tag) {
            Ok(tag) => prepared.with_header(header::ETAG, tag),
            Err(_) => prepared,
        })
    }
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
            BlobError::Locked(error) => (*error).into(),
            BlobError::Damaged | BlobError::Disk(_) | BlobError::Store(_) => {
                Failure::internal(error)
            }
        }
    }
}

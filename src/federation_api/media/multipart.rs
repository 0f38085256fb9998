//! Two parts: what is known of a piece of media (an empty object), and its content.

use actix_web::http::header::HeaderValue;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use playhouse_actors::media::message::Uploaded;

use crate::{
    edge::{App, Failure, Prepared},
    media::{blobs::Pieces, presentation},
};

/// The content of a piece of media, with its headers.
pub(super) struct Part {
    pub(super) content_type: String,
    pub(super) disposition: String,
    pub(super) length: u64,
    pub(super) pieces: Pieces,
}

/// Everything that was uploaded.
pub(super) async fn whole(app: &App, uploaded: &Uploaded) -> Result<Prepared, Failure> {
    let content_type = presentation::content_type(uploaded.content_type.as_deref());
    let file_name = uploaded.file_name.as_deref();
    let part = Part {
        disposition: presentation::content_disposition(&content_type, file_name),
        content_type,
        length: uploaded.size_bytes,
        pieces: app.blobs.read(&uploaded.sha256, None).await?,
    };
    multipart(app, part)
}

/// The answer.
pub(super) fn multipart(app: &App, part: Part) -> Result<Prepared, Failure> {
    let boundary = app.env().random_string(32);
    let head = format!(
        "--{boundary}\r\nContent-Type: application/json\r\n\r\n{{}}\r\n\
         --{boundary}\r\nContent-Type: {}\r\nContent-Disposition: {}\r\n\r\n",
        part.content_type, part.disposition
    );
    let tail = format!("\r\n--{boundary}--\r\n");
    let length = head.len() as u64 + part.length + tail.len() as u64;
    let around = |text: String| stream::iter([Ok(Bytes::from(text))]);
    let body = around(head).chain(part.pieces).chain(around(tail));
    let content_type = HeaderValue::from_str(&format!("multipart/mixed; boundary={boundary}"));
    let content_type = content_type.map_err(Failure::internal)?;
    Ok(Prepared::stream(content_type, length, body))
}

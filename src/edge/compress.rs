//! gzip for large JSON answers, when the client asks for it.

use std::io::Write as _;

use actix_web::{
    HttpRequest, HttpResponse,
    body::{BodySize, MessageBody as _},
    http::header::{self, HeaderValue},
    web,
};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};

/// Smaller answers fit into a few packets anyway.
const WORTH_IT_BYTES: u64 = 4_096;

/// Larger answers are compressed away from the thread that serves requests.
const ASIDE_BYTES: usize = 128 * 1024;

/// Compresses the response if that is wanted and worth it.
pub(super) async fn compress(request: &HttpRequest, response: HttpResponse) -> HttpResponse {
    if !is_wanted(request) || !is_worth_it(&response) {
        return response;
    }
    let (mut head, body) = response.into_parts();
    let Ok(bytes) = body.try_into_bytes() else {
        return head.set_body(Bytes::new()).map_into_boxed_body();
    };
    let packed = if bytes.len() > ASIDE_BYTES {
        let bytes = bytes.clone();
        web::block(move || gzip(&bytes)).await.ok().flatten()
    } else {
        gzip(&bytes)
    };
    let Some(packed) = packed else {
        return head.set_body(bytes).map_into_boxed_body();
    };
    let headers = head.headers_mut();
    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    head.set_body(packed).map_into_boxed_body()
}

fn gzip(bytes: &Bytes) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 3), Compression::fast());
    encoder.write_all(bytes).ok()?;
    encoder.finish().ok()
}

fn is_wanted(request: &HttpRequest) -> bool {
    request
        .headers()
        .get(header::ACCEPT_ENCODING)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| {
            value.split(',').any(|coding| {
                let (name, quality) = coding.split_once(';').unwrap_or((coding, ""));
                name.trim().eq_ignore_ascii_case("gzip") && quality.trim() != "q=0"
            })
        })
}

fn is_worth_it(response: &HttpResponse) -> bool {
    let is_large =
        matches!(response.body().size(), BodySize::Sized(size) if size >= WORTH_IT_BYTES);
    let headers = response.headers();
    let is_json = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/json"));
    // Media is sent as it is read, and ranges of it count bytes: only whole answers of our own can be compressed.
    let is_media = headers.contains_key(header::CONTENT_DISPOSITION);
    is_large && is_json && !is_media && !headers.contains_key(header::CONTENT_ENCODING)
}

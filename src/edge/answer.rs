//! From a handler's result to an HTTP response.

use actix_web::{
    HttpResponse, HttpResponseBuilder,
    body::{BodyStream, BoxBody, MessageBody, SizedStream},
    http::{
        StatusCode,
        header::{self, HeaderName, HeaderValue},
    },
};
use bytes::Bytes;
use futures_util::Stream;
use ruma::api::{OutgoingResponse, OutgoingResponseExt as _};

use super::failure::Failure;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A JSON answer that is built already.
pub(crate) struct RawJson(pub(crate) Bytes);

/// A finished answer: status, headers, body.
pub(crate) struct Prepared {
    status: StatusCode,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: BoxBody,
}

impl From<RawJson> for Prepared {
    fn from(json: RawJson) -> Self {
        Self::bytes(JSON, json.0)
    }
}

impl Prepared {
    /// 200 with a body of some type.
    pub(crate) fn bytes(content_type: HeaderValue, body: impl Into<Bytes>) -> Self {
        Self {
            status: StatusCode::OK,
            headers: vec![(header::CONTENT_TYPE, content_type)],
            body: body.into().boxed(),
        }
    }

    /// 200 with text in UTF-8.
    pub(crate) fn text(body: impl Into<Bytes>) -> Self {
        Self::bytes(HeaderValue::from_static("text/plain; charset=utf-8"), body)
    }

    /// 200 with a body of known length that is sent as it is read.
    pub(crate) fn stream<S, E>(content_type: HeaderValue, length: u64, body: S) -> Self
    where
        S: Stream<Item = Result<Bytes, E>> + 'static,
        E: Into<Box<dyn std::error::Error>> + 'static,
    {
        Self {
            status: StatusCode::OK,
            headers: vec![(header::CONTENT_TYPE, content_type)],
            body: SizedStream::new(length, body).boxed(),
        }
    }

    /// 200 with a body that is sent as it is read, of a length that nobody knows before. An error breaks the connection off, which in HTTP/1.0 looks
    /// like the end.
    pub(crate) fn unmeasured_stream<S, E>(content_type: HeaderValue, body: S) -> Self
    where
        S: Stream<Item = Result<Bytes, E>> + 'static,
        E: Into<Box<dyn std::error::Error>> + 'static,
    {
        Self {
            status: StatusCode::OK,
            headers: vec![(header::CONTENT_TYPE, content_type)],
            body: BodyStream::new(body).boxed(),
        }
    }

    /// 200 with JSON that is written as it is read, of a length that nobody knows before.
    pub(crate) fn json_stream<S, E>(body: S) -> Self
    where
        S: Stream<Item = Result<Bytes, E>> + 'static,
        E: Into<Box<dyn std::error::Error>> + 'static,
    {
        Self::unmeasured_stream(JSON, body)
    }

    /// The same with another status.
    pub(crate) fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// The same with one more header.
    pub(crate) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    pub(crate) fn into_response(self) -> HttpResponse {
        let mut builder = HttpResponseBuilder::new(self.status);
        for header in self.headers {
            builder.append_header(header);
        }
        builder.body(self.body)
    }
}

/// The answer of a typed handler.
pub(super) fn typed<R: OutgoingResponse>(response: R) -> Result<HttpResponse, Failure> {
    let response = response.try_into_http_response::<Vec<u8>>()?;
    let (head, body) = response.into_parts();
    let status = StatusCode::from_u16(head.status.as_u16()).map_err(Failure::internal)?;
    let mut builder = HttpResponseBuilder::new(status);
    for (name, value) in &head.headers {
        builder.append_header((name.as_str(), value.as_bytes()));
    }
    Ok(builder.body(body))
}

/// The answer to a refused request.
pub(crate) fn failed(failure: &Failure, trace_id: &str) -> HttpResponse {
    let status =
        StatusCode::from_u16(failure.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut builder = HttpResponseBuilder::new(status);
    builder.insert_header((header::CONTENT_TYPE, JSON));
    if let Some(seconds) = failure.retry_after_seconds() {
        builder.insert_header((header::RETRY_AFTER, seconds));
    }
    builder.body(failure.body(trace_id).to_string())
}

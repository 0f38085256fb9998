//! What of a request and an answer is passed on besides the body.

use std::net::IpAddr;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Uri, Version, header, request,
};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use serde_json::json;

/// What belongs to a connection and not to the request (RFC 9110, 7.6.1).
static OF_CONNECTION: [HeaderName; 8] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

const FORWARDED_FOR: &str = "x-forwarded-for";

/// A body from a node, or one of our own.
pub(super) type Body = Either<Incoming, Full<Bytes>>;

/// The request as a node gets it; none when it names no path.
pub(super) fn forwardable(mut parts: request::Parts, client: IpAddr) -> Option<request::Parts> {
    let path = parts.uri.path_and_query()?.clone();
    if let Some(authority) = parts.uri.authority() {
        let host = HeaderValue::from_str(authority.as_str()).ok()?;
        parts.headers.insert(header::HOST, host);
    }
    if !parts.headers.contains_key(header::HOST) {
        let host = HeaderValue::from_static("localhost");
        parts.headers.insert(header::HOST, host);
    }
    parts.uri = Uri::from(path);
    parts.version = Version::HTTP_11;
    // The client is told to go on as soon as its body is wanted: the node need not say so.
    parts.headers.remove(header::EXPECT);
    strip(&mut parts.headers);
    let told = parts.headers.get_all(FORWARDED_FOR).iter();
    let mut chain: Vec<_> = told
        .filter_map(|value| Some(value.to_str().ok()?.to_owned()))
        .collect();
    chain.push(client.to_canonical().to_string());
    let chain = HeaderValue::from_str(&chain.join(", ")).ok()?;
    parts.headers.insert(FORWARDED_FOR, chain);
    Some(parts)
}

/// The answer as the client gets it.
pub(super) fn passed_on(response: Response<Incoming>) -> Response<Body> {
    let (mut parts, body) = response.into_parts();
    strip(&mut parts.headers);
    parts.version = Version::HTTP_11;
    Response::from_parts(parts, Either::Left(body))
}

fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&OF_CONNECTION) {
        headers.remove(name);
    }
}

/// An answer of our own: text.
pub(super) fn text(text: String) -> Response<Body> {
    let mut response = Response::new(Either::Right(Full::from(text)));
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}

/// A refusal of our own, as Matrix has them.
pub(super) fn refusal(status: StatusCode, error: &str) -> Response<Body> {
    let body = json!({"errcode": "M_UNKNOWN", "error": error}).to_string();
    let mut response = Response::new(Either::Right(Full::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let json = HeaderValue::from_static("application/json");
    headers.insert(header::CONTENT_TYPE, json);
    // A web client may read it too.
    let anybody = HeaderValue::from_static("*");
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, anybody);
    response
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn what_belongs_to_a_connection_stays_there() {
        let request = Request::get("http://example.org/path?query")
            .header("connection", "close, x-mine")
            .header("x-mine", "1")
            .header("keep-alive", "1")
            .header("x-forwarded-for", "10.0.0.1")
            .header("authorization", "Bearer token");
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let parts = forwardable(parts, IpAddr::from([127, 0, 0, 1])).unwrap();
        assert_eq!(parts.uri, "/path?query");
        let mut headers: Vec<_> = parts
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        headers.sort();
        let expected = [
            "authorization: Bearer token",
            "host: example.org",
            "x-forwarded-for: 10.0.0.1, 127.0.0.1",
        ];
        assert_eq!(headers, expected);
    }
}

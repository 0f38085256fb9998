//! One trie in front of everything: finds the endpoint, answers what has none, runs it, and dresses the response.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    panic::AssertUnwindSafe,
    sync::Arc,
};

use actix_web::{
    HttpRequest, HttpResponse,
    http::{
        Method,
        header::{self, HeaderMap, HeaderName, HeaderValue},
    },
    web::Payload,
};
use futures_util::FutureExt as _;
use ruma::api::error::ErrorCode;
use tracing::Instrument as _;

use super::{
    answer, app::App, compress, endpoint::Endpoint, failure::Failure, incoming::Incoming,
    mount::Routes, trace::Trace,
};
use crate::config::Resource;

/// The routing table of one listener.
pub(crate) struct Table {
    trie: matchit::Router<Vec<Arc<Endpoint>>>,
    /// Why nothing else is answered, where others answer it.
    closed: Option<&'static str>,
}

/// Two endpoints want the same method and path, or a path is malformed. A mistake in the program.
#[derive(Debug, thiserror::Error)]
#[error("cannot mount {path}: {reason}")]
pub struct MountError {
    path: String,
    reason: String,
}

/// All endpoints, from which each listener takes what it answers.
pub(crate) struct Mounted(Vec<Arc<Endpoint>>);

impl Routes {
    /// Ends mounting.
    pub(crate) fn finish(self) -> Mounted {
        Mounted(self.endpoints.into_iter().map(Arc::new).collect())
    }
}

impl Mounted {
    /// The table of a listener with some resources.
    pub(crate) fn table(&self, resources: &[Resource]) -> Result<Table, MountError> {
        let mut by_path: BTreeMap<String, Vec<Arc<Endpoint>>> = BTreeMap::new();
        for endpoint in &self.0 {
            if !resources.contains(&endpoint.resource) {
                continue;
            }
            for path in &endpoint.paths {
                let methods = by_path.entry(anonymous(path)).or_default();
                if methods.iter().any(|other| other.method == endpoint.method) {
                    return Err(MountError {
                        path: path.clone(),
                        reason: format!("{} is mounted twice", endpoint.method),
                    });
                }
                methods.push(endpoint.clone());
            }
        }
        let mut trie = matchit::Router::new();
        for (path, methods) in by_path {
            trie.insert(path.clone(), methods)
                .map_err(|error| MountError {
                    path,
                    reason: error.to_string(),
                })?;
        }
        Ok(Table { trie, closed: None })
    }
}

/// Endpoints name the same variable differently; the trie needs one name for each place.
fn anonymous(path: &str) -> String {
    let mut count = 0;
    let parts: Vec<String> = path
        .split('/')
        .map(|part| {
            if part.starts_with("{*") {
                return "{*rest}".to_owned();
            }
            if !part.starts_with('{') {
                return part.to_owned();
            }
            count += 1;
            format!("{{v{count}}}")
        })
        .collect();
    parts.join("/")
}

impl Table {
    /// What is not in it is to be asked elsewhere, and why.
    pub(crate) fn closed(self, why: &'static str) -> Self {
        Self {
            closed: Some(why),
            ..self
        }
    }

    /// The endpoint of a request and its path variables.
    pub(super) fn find(
        &self,
        method: &Method,
        path: &str,
    ) -> Result<(Arc<Endpoint>, Vec<String>), Failure> {
        let Ok(found) = self.trie.at(path) else {
            return Err(match self.closed {
                Some(why) => Failure::busy(why),
                None => unrecognised(404, "unknown path"),
            });
        };
        let wanted = if method == Method::HEAD {
            &Method::GET
        } else {
            method
        };
        let endpoint = found
            .value
            .iter()
            .find(|endpoint| endpoint.method == wanted)
            .ok_or_else(|| unrecognised(405, "method not allowed"))?;
        let variables = found
            .params
            .iter()
            .map(|(_, value)| {
                percent_decoded(value)
                    .ok_or_else(|| Failure::invalid_param("path is not UTF-8 when decoded"))
            })
            .collect::<Result<_, _>>()?;
        Ok((endpoint.clone(), variables))
    }
}

fn unrecognised(status: u16, message: &'static str) -> Failure {
    Failure::new(ErrorCode::Unrecognized, message).with_status(status)
}

/// Undoes percent-encoding; `None` when the result is not UTF-8.
pub(super) fn percent_decoded(text: &str) -> Option<String> {
    if !text.contains('%') {
        return Some(text.to_owned());
    }
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let byte = match bytes.get(at..at + 3) {
            Some([b'%', high, low]) => hex(*high).zip(hex(*low)).map(|(h, l)| h << 4 | l),
            _ => None,
        };
        match byte {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8(decoded).ok()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|digit| digit as u8)
}

/// Takes a request from beginning to end. Never fails: a failure is an answer too.
pub(crate) async fn dispatch(
    app: Arc<App>,
    table: Option<Arc<Table>>,
    request: HttpRequest,
    payload: Payload,
) -> HttpResponse {
    let trace = Trace::begin();
    let mut response = if request.method() == Method::OPTIONS {
        HttpResponse::NoContent().finish()
    } else {
        let found = table
            .ok_or_else(|| Failure::internal("a listener without a table"))
            .and_then(|table| table.find(request.method(), request.uri().path()));
        let endpoint = found.as_ref().ok().map(|(endpoint, _)| &**endpoint);
        let span = trace.span(request.method().as_str(), endpoint);
        serve(&app, found, &trace, request.clone(), payload)
            .instrument(span)
            .await
    };
    dress(response.headers_mut(), &trace.id);
    if app.config.listen.compress {
        response = compress::compress(&request, response).await;
    }
    response
}

async fn serve(
    app: &Arc<App>,
    found: Result<(Arc<Endpoint>, Vec<String>), Failure>,
    trace: &Trace,
    request: HttpRequest,
    payload: Payload,
) -> HttpResponse {
    let uri = request.uri().clone();
    let method = request.method().clone();
    let (endpoint, outcome) = match found {
        Err(failure) => (None, Err(failure)),
        Ok((endpoint, path)) => {
            let incoming = Incoming {
                address: client_address(app, &request),
                app: app.clone(),
                endpoint: endpoint.clone(),
                request,
                payload: Some(payload),
                path,
            };
            // A mistake of ours (or of a parser) must end one request, not a thread that serves thousands.
            let run = AssertUnwindSafe((endpoint.run)(incoming)).catch_unwind();
            let outcome = run
                .await
                .unwrap_or_else(|_| Err(Failure::internal("panic, see above")));
            (Some(endpoint), outcome)
        }
    };
    let response = outcome.unwrap_or_else(|failure| {
        if let Some(reason) = failure.inside() {
            tracing::error!(%method, path = uri.path(), reason, "internal error");
        }
        answer::failed(&failure, &trace.id)
    });
    let status = response.status().as_u16();
    trace.end(endpoint.as_deref(), method.as_str(), uri.path(), status);
    response
}

/// The client's address. A proxy's word counts only when the proxy is trusted; behind several trusted ones the last stranger in the chain is meant.
fn client_address(app: &App, request: &HttpRequest) -> IpAddr {
    let peer = request
        .peer_addr()
        .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| {
            peer.ip().to_canonical()
        });
    let chain = request
        .headers()
        .get_all("x-forwarded-for")
        .filter_map(|value| value.to_str().ok())
        .collect::<Vec<_>>()
        .join(",");
    forwarded(peer, &chain, |address| {
        app.proxies.iter().any(|proxy| proxy.contains(address))
    })
}

fn forwarded(peer: IpAddr, chain: &str, is_trusted: impl Fn(IpAddr) -> bool) -> IpAddr {
    let mut address = peer;
    for hop in chain.rsplit(',') {
        if !is_trusted(address) {
            break;
        }
        match hop.trim().parse::<IpAddr>() {
            Ok(hop) => address = hop.to_canonical(),
            Err(_) => break,
        }
    }
    address
}

/// The headers that every answer carries, errors included.
fn dress(headers: &mut HeaderMap, trace_id: &str) {
    let fixed = [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (
            header::ACCESS_CONTROL_ALLOW_METHODS,
            "GET, POST, PUT, DELETE, PATCH, HEAD, OPTIONS",
        ),
        (
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            "X-Requested-With, Content-Type, Authorization, If-Match, If-None-Match, Range",
        ),
        (
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            "ETag, Location, Retry-After, X-Request-Id, Content-Range",
        ),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Ok(id) = HeaderValue::from_str(trace_id) {
        headers.insert(HeaderName::from_static("x-request-id"), id);
    }
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn percent_decoding_keeps_what_is_no_code() {
        assert_eq!(percent_decoded("%21a%3Ab").as_deref(), Some("!a:b"));
        assert_eq!(percent_decoded("100%").as_deref(), Some("100%"));
        assert_eq!(percent_decoded("%zz%4").as_deref(), Some("%zz%4"));
        assert_eq!(percent_decoded("%ff"), None);
        assert_eq!(percent_decoded("a+b").as_deref(), Some("a+b"));
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let trusted = |address: IpAddr| address.to_string().starts_with("10.");
        let chain = "6.6.6.6, 1.2.3.4, 10.0.0.2";
        assert_eq!(
            forwarded(address("10.0.0.1"), chain, trusted),
            address("1.2.3.4")
        );
        assert_eq!(
            forwarded(address("9.9.9.9"), chain, trusted),
            address("9.9.9.9")
        );
        assert_eq!(
            forwarded(address("10.0.0.1"), "", trusted),
            address("10.0.0.1")
        );
    }
}

//! The gateway's own HTTP: few paths, and errors as the push gateway API wants them.

use std::{net::IpAddr, sync::Arc, time::Duration};

use actix_web::{
    HttpRequest, HttpResponse,
    http::{Method, header},
    web::Payload,
};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use playhouse_actors::trace::{HOPS, TRACEPARENT, TraceContext};
use ruma::api::error::ErrorCode;
use tracing::{Instrument as _, field::Empty};

use super::{Gateway, notify};
use crate::edge::{Failure, answer, trace::Trace};

/// A body must have arrived after this time.
const BODY_WITHIN: Duration = Duration::from_secs(20);

/// A homeserver that finds the gateway busy shall come back after so long.
const BUSY_MS: u64 = 5_000;

/// What a listener answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// Homeservers.
    Homeservers,
    /// Who collects figures.
    Figures,
}

/// Takes a request from beginning to end.
pub(crate) async fn dispatch(
    gateway: Arc<Gateway>,
    side: Side,
    request: HttpRequest,
    payload: Payload,
) -> HttpResponse {
    let trace = Trace::begin();
    let outcome = route(&gateway, side, &request, payload).await;
    let response = outcome.unwrap_or_else(|failure| {
        if let Some(reason) = failure.inside() {
            tracing::error!(path = request.path(), reason, id = %trace.id, "internal error");
        }
        answer::failed(&failure, &trace.id)
    });
    let status = response.status().as_u16();
    metrics::counter!("playhouse_push_requests_total", "status" => status.to_string()).increment(1);
    tracing::debug!(method = %request.method(), path = request.path(), status, id = %trace.id, "request");
    response
}

async fn route(
    gateway: &Arc<Gateway>,
    side: Side,
    request: &HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Failure> {
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    match (request.path(), side) {
        ("/_matrix/push/v1/notify", Side::Homeservers) => {
            if request.method() != Method::POST {
                return Err(not_allowed());
            }
            notify(gateway, request, payload).await
        }
        ("/health", _) if is_read => Ok(HttpResponse::Ok().finish()),
        ("/metrics", _) if is_read => figures(gateway, side, request),
        ("/health" | "/metrics", _) => Err(not_allowed()),
        _ => Err(Failure::new(ErrorCode::Unrecognized, "unknown path").with_status(404)),
    }
}

fn not_allowed() -> Failure {
    Failure::new(ErrorCode::Unrecognized, "method not allowed").with_status(405)
}

async fn notify(
    gateway: &Arc<Gateway>,
    request: &HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Failure> {
    let Ok(_permit) = gateway.requests.try_acquire() else {
        return Err(Failure::limit_exceeded(BUSY_MS));
    };
    let bytes_max = gateway.bounds().body_bytes_max;
    let length = request.headers().get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if length.is_some_and(|length| length > bytes_max) {
        return Err(too_large());
    }
    let body = tokio::time::timeout(BODY_WITHIN, whole(payload, bytes_max));
    let slow = |_| Failure::new(ErrorCode::Unknown, "the body is too slow").with_status(408);
    let body = body.await.map_err(slow)??;
    let header = request.headers().get(TRACEPARENT);
    let parent = header.and_then(|header| TraceContext::parse(header.to_str().ok()?));
    let span = tracing::info_span!(
        target: HOPS, "push_notify",
        trace_id = Empty, span_id = Empty, parent_id = Empty, otel.kind = "server", event_id = Empty,
    );
    let trace = TraceContext::open(&span, parent, &gateway.env);
    let notified = gateway.notify(&body, &trace).instrument(span);
    let rejected = notified.await?;
    Ok(HttpResponse::Ok().json(notify::answer(rejected)))
}

async fn whole(mut payload: Payload, bytes_max: usize) -> Result<Bytes, Failure> {
    let mut body = BytesMut::new();
    while let Some(piece) = payload.next().await {
        let piece = piece.map_err(|_| Failure::not_json("the body is broken off"))?;
        if body.len() + piece.len() > bytes_max {
            return Err(too_large());
        }
        body.extend_from_slice(&piece);
    }
    Ok(body.freeze())
}

fn too_large() -> Failure {
    Failure::new(ErrorCode::TooLarge, "the request is too large")
}

/// Figures tell who is notified how often: without a listener of their own they are for callers on this machine, who come without a proxy.
fn figures(gateway: &Gateway, side: Side, request: &HttpRequest) -> Result<HttpResponse, Failure> {
    let is_near = request
        .peer_addr()
        .map(|peer| peer.ip().to_canonical())
        .is_some_and(|address: IpAddr| address.is_loopback());
    let headers = request.headers();
    let is_proxied = headers.contains_key("x-forwarded-for") || headers.contains_key("forwarded");
    let may_see =
        side == Side::Figures || (!gateway.bounds().has_metrics_listener && is_near && !is_proxied);
    if !may_see {
        return Err(Failure::forbidden("metrics are not for you"));
    }
    Ok(HttpResponse::Ok()
        .content_type("text/plain; charset=utf-8")
        .body(gateway.figures()))
}

//! Request identifiers, the access log, and figures per endpoint. Tokens never get here: the path is logged without its query.

use std::time::{Duration, Instant};

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use playhouse_actors::kernel::spans;
use tracing::{Span, field::Empty};
use uuid::Uuid;

use super::endpoint::Endpoint;

/// Counters of one endpoint, made when it is first called.
pub(crate) struct Gauges {
    /// By first digit of the status: 2xx and 3xx, 4xx, 5xx.
    answers: [Counter; 3],
    seconds: Histogram,
}

impl Gauges {
    fn new(endpoint: &Endpoint) -> Self {
        let answers = ["ok", "refused", "failed"].map(|outcome| {
            counter!(
                "playhouse_http_requests_total",
                "method" => endpoint.method.to_string(),
                "path" => endpoint.name().to_owned(),
                "outcome" => outcome,
            )
        });
        let seconds = histogram!(
            "playhouse_http_request_seconds",
            "method" => endpoint.method.to_string(),
            "path" => endpoint.name().to_owned(),
        );
        Self { answers, seconds }
    }
}

/// One request being followed.
pub(crate) struct Trace {
    /// Its identifier, also told to the client.
    pub(crate) id: String,
    began: Instant,
    _open: Open,
}

/// Counts a request as long as it is being answered, also one whose client goes away.
struct Open(Gauge);

impl Open {
    fn begin() -> Self {
        let open = gauge!("playhouse_http_requests_open");
        open.increment(1.0);
        Self(open)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

impl Trace {
    pub(crate) fn begin() -> Self {
        Self {
            id: Uuid::now_v7().to_string(),
            began: Instant::now(),
            _open: Open::begin(),
        }
    }

    /// The span in which everything about the request is logged, and with which its trace begins where traces are collected.
    pub(crate) fn span(&self, method: &str, endpoint: Option<&Endpoint>) -> Span {
        if !spans::are_collected() {
            return tracing::info_span!("request", id = %self.id);
        }
        let route = endpoint.map_or("", Endpoint::name);
        // What is below it fixes its name, so it must be there from the beginning.
        tracing::info_span!(
            "request",
            id = %self.id,
            otel.name = format!("{method} {route}").trim_end(),
            otel.kind = "server",
            http.request.method = method,
            http.route = route,
            http.response.status_code = Empty,
        )
    }

    /// Counts and logs the end.
    pub(crate) fn end(&self, endpoint: Option<&Endpoint>, method: &str, path: &str, status: u16) {
        let took: Duration = self.began.elapsed();
        if let Some(endpoint) = endpoint {
            let gauges = endpoint.gauges.get_or_init(|| Gauges::new(endpoint));
            let outcome = match status {
                0..400 => 0,
                400..500 => 1,
                _ => 2,
            };
            gauges.answers[outcome].increment(1);
            gauges.seconds.record(took.as_secs_f64());
        }
        if spans::are_collected() {
            Span::current().record("http.response.status_code", i64::from(status));
        }
        tracing::debug!(
            method,
            path,
            status,
            took_us = took.as_micros() as u64,
            "answered"
        );
    }
}

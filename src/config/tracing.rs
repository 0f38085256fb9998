//! `[tracing]`: where requests spend their time.

use super::section::section;

section! {
    /// Spans of requests, actors and writers, brought to a collector of OpenTelemetry by OTLP over HTTP. Read at the start only. See
    /// `ops/docs/observability.md`.
    "tracing" Tracing {
        /// The collector: where its paths begin, without `/v1/traces`. Without it nothing is traced, and tracing costs nothing.
        endpoint: Option<String> = None, sample "http://127.0.0.1:4318", variable "PLAYHOUSE_OTLP_ENDPOINT";
        /// Further headers of what is brought there, each `name=value`.
        headers: Vec<String> = Vec::new();
        /// What the collector is told that this is.
        service_name: String = "playhouse".to_owned();
        /// Of a thousand requests so many are traced.
        sampled_per_mille: u64 = 100;
        /// So many spans wait for the collector at most; further ones are dropped.
        queue_spans_max: u64 = 4_096;
        /// The collector must answer within so many milliseconds.
        timeout_ms: u64 = 10_000;
    }
}

//! Spans for a collector of OpenTelemetry: what the configuration's `[tracing]` wants.

use std::{collections::HashMap, fmt, time::Duration};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use opentelemetry::{
    Context, KeyValue,
    trace::{SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState},
};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::{
    Resource,
    trace::{BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider},
};
use playhouse_actors::{
    kernel::spans,
    trace::{self, Collected, TraceContext},
};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::{
    config::{Config, check_watching::header_of},
    outbound::{Client, Trust},
};

/// Spans are brought to the collector at least so often.
const EVERY: Duration = Duration::from_secs(1);

/// A collector's answer is not larger.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// What makes spans, and brings them to the collector; `None` when nobody collects.
pub(super) fn open(config: &Config) -> Result<Option<SdkTracerProvider>, String> {
    let tracing = &config.tracing;
    let Some(endpoint) = &tracing.endpoint else {
        return Ok(None);
    };
    let headers = tracing.headers.iter().filter_map(|header| {
        let (name, value) = header_of(header)?;
        Some((name.to_string(), value.to_str().ok()?.to_owned()))
    });
    let headers: HashMap<String, String> = headers.collect();
    let exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_http_client(Courier::open(config)?)
        .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
        .with_timeout(Duration::from_millis(tracing.timeout_ms))
        .with_headers(headers)
        .build()
        .map_err(|error| error.to_string())?;
    let batches = BatchConfigBuilder::default()
        .with_max_queue_size(tracing.queue_spans_max as usize)
        .with_scheduled_delay(EVERY)
        .build();
    let processor = BatchSpanProcessor::builder(exporter)
        .with_batch_config(batches)
        .build();
    let resource = Resource::builder_empty()
        .with_service_name(tracing.service_name.clone())
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_attribute(KeyValue::new(
            "service.namespace",
            config.server.name.clone(),
        ))
        .build();
    let share = tracing.sampled_per_mille as f64 / 1_000.0;
    let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(share)));
    let provider = SdkTracerProvider::builder()
        .with_sampler(sampler)
        .with_resource(resource)
        .with_span_processor(processor)
        .build();
    spans::collect();
    trace::collect_with(named);
    Ok(Some(provider))
}

/// Puts a span below one of another process, if there is one, and says what the collector will call it.
fn named(span: &Span, parent: Option<&TraceContext>) -> Option<Collected> {
    if let Some(parent) = parent.map(TraceContext::collected) {
        if !parent.is_sampled {
            return None;
        }
        let remote = SpanContext::new(
            TraceId::from_bytes(parent.trace.to_be_bytes()),
            SpanId::from_bytes(parent.span.to_be_bytes()),
            TraceFlags::SAMPLED,
            true,
            TraceState::default(),
        );
        let above = Context::new().with_remote_span_context(remote);
        span.set_parent(above).ok()?;
    }
    let context = span.context();
    let named = context.span().span_context().clone();
    named.is_valid().then(|| Collected {
        trace: u128::from_be_bytes(named.trace_id().to_bytes()),
        span: u64::from_be_bytes(named.span_id().to_bytes()),
        is_sampled: named.is_sampled(),
    })
}

/// Brings spans over. It is used by a thread of its own, which may block, and goes on when everything else has ended.
struct Courier {
    runtime: tokio::runtime::Runtime,
    client: Client,
}

impl fmt::Debug for Courier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Courier")
    }
}

impl Courier {
    fn open(config: &Config) -> Result<Self, String> {
        let trust = Trust::open(config.federation.extra_ca.as_deref())?;
        let within = Duration::from_millis(config.tracing.timeout_ms);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self {
            runtime,
            // Nothing watches over idle connections between two batches.
            client: Client::for_operators_choice(&trust, move |builder| {
                builder.timeout(within).pool_max_idle_per_host(0)
            }),
        })
    }

    async fn bring(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let request = reqwest::Request::try_from(request)?;
        let mut answer = self.client.execute(request).await?;
        let mut body = BytesMut::new();
        while let Some(piece) = answer.chunk().await? {
            if body.len() + piece.len() > ANSWER_BYTES_MAX {
                return Err("the collector's answer is too large".into());
            }
            body.extend_from_slice(&piece);
        }
        let mut response = Response::new(body.freeze());
        *response.status_mut() = answer.status();
        *response.headers_mut() = answer.headers().clone();
        Ok(response)
    }
}

#[async_trait]
impl HttpClient for Courier {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let answer = self.runtime.block_on(self.bring(request));
        let is_taken = answer
            .as_ref()
            .is_ok_and(|answer| answer.status().is_success());
        let outcome = if is_taken { "taken" } else { "failed" };
        metrics::counter!("playhouse_trace_exports_total", "outcome" => outcome).increment(1);
        if let Err(error) = &answer {
            tracing::debug!(%error, "the collector of spans is not reached");
        }
        answer
    }
}

//! Spans come to a collector, and say where a request spent its time.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{AnyValue, any_value::Value},
    trace::v1::Span,
};
use prost::Message as _;
use serde_json::json;

use crate::harness::{
    Options, TestServer,
    database::free_port,
    web::{Body, Reply, Web},
};

/// Whatever shall come comes within this time.
const PATIENCE: Duration = Duration::from_secs(120);

async fn collector() -> Web {
    Web::start("127.0.0.1", |_| {
        Reply::new("application/x-protobuf", Body::Bytes(Vec::new()))
    })
    .await
}

fn traced_by(collector: &Web, sampled_per_mille: u32) -> TestServer {
    let environment = [
        ("PLAYHOUSE_OTLP_ENDPOINT", collector.base()),
        (
            "PLAYHOUSE_TRACING_HEADERS",
            "authorization=Basic YTpi".to_owned(),
        ),
        (
            "PLAYHOUSE_TRACING_SAMPLED_PER_MILLE",
            sampled_per_mille.to_string(),
        ),
    ];
    TestServer::start_exactly(Options {
        environment: environment
            .map(|(name, value)| (name.to_owned(), value))
            .to_vec(),
        ..Options::default()
    })
}

/// All spans that have come.
fn spans(collector: &Web) -> Vec<Span> {
    let seen = collector.seen().into_iter();
    seen.flat_map(|seen| {
        assert_eq!(seen.target, "/v1/traces");
        assert!(
            seen.headers.contains("authorization: basic ytpi"),
            "{}",
            seen.headers
        );
        let request = ExportTraceServiceRequest::decode(&*seen.body).expect("spans");
        let resources = request.resource_spans.into_iter();
        let scopes = resources.flat_map(|resource| resource.scope_spans);
        scopes.flat_map(|scope| scope.spans).collect::<Vec<_>>()
    })
    .collect()
}

fn attribute<'a>(span: &'a Span, key: &str) -> Option<&'a Value> {
    let found = span.attributes.iter().find(|one| one.key == key)?;
    let Some(AnyValue { value }) = &found.value else {
        return None;
    };
    value.as_ref()
}

/// The spans above one, the nearest first.
fn ancestors<'a>(all: &'a BTreeMap<Vec<u8>, Span>, span: &'a Span) -> Vec<&'a str> {
    let mut names = Vec::new();
    let mut parent = &span.parent_span_id;
    while let Some(found) = all.get(parent) {
        names.push(found.name.as_str());
        parent = &found.parent_span_id;
    }
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_followed_from_the_edge_to_the_writer() {
    let collector = collector().await;
    let server = traced_by(&collector, 1_000);
    let anna = server.register("anna").await;
    let room_id = anna.create_room(json!({"preset": "public_chat"})).await;
    anna.say(&room_id, "a secret").await;
    let route = "/_matrix/client/v3/rooms/{room_id}/send/{event_type}/{txn_id}";
    let deadline = Instant::now() + PATIENCE;
    loop {
        let all = spans(&collector).into_iter();
        let all: BTreeMap<_, _> = all.map(|span| (span.span_id.clone(), span)).collect();
        let commits = all.values().filter(|span| span.name == "commit");
        let mut paths = commits.map(|commit| (commit, ancestors(&all, commit)));
        let request = format!("PUT {route}");
        let wanted = ["append", "command room", request.as_str()];
        if let Some((commit, _)) = paths.find(|(_, path)| *path == wanted) {
            let trace = all.values().filter(|span| span.trace_id == commit.trace_id);
            let root = trace.clone().find(|span| span.name == request);
            let root = root.expect("the path ends there");
            let is_text = |key, text: &str| matches!(attribute(root, key), Some(Value::StringValue(value)) if value == text);
            assert!(is_text("http.route", route), "{root:?}");
            assert!(is_text("http.request.method", "PUT"), "{root:?}");
            let status = attribute(root, "http.response.status_code");
            assert!(matches!(status, Some(Value::IntValue(200))), "{root:?}");
            assert!(trace.clone().any(|span| span.name == "decide"));
            break;
        }
        let known: Vec<_> = all.values().map(|span| &span.name).collect();
        assert!(
            Instant::now() < deadline,
            "the message is not followed: {known:?}"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // What was said, and who may say it, is nobody's business there.
    let token = anna.token.clone().expect("a token");
    for seen in collector.seen() {
        for secret in ["a secret", token.as_str()] {
            let mut windows = seen.body.windows(secret.len());
            assert!(!windows.any(|window| window == secret.as_bytes()));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_spans_come_before_the_end() {
    let collector = collector().await;
    let mut server = traced_by(&collector, 1_000);
    server.register("anna").await;
    server.stop();
    let names: Vec<_> = spans(&collector)
        .into_iter()
        .map(|span| span.name)
        .collect();
    let is_there = |name: &str| names.iter().any(|known| known == name);
    assert!(is_there("POST /_matrix/client/v3/register"), "{names:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_comes_of_what_is_not_sampled() {
    let collector = collector().await;
    let mut server = traced_by(&collector, 0);
    let anna = server.register("anna").await;
    anna.create_room(json!({"preset": "public_chat"})).await;
    server.stop();
    assert_eq!(spans(&collector).len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_holds_nobody_up() {
    let port = free_port();
    let environment = [
        (
            "PLAYHOUSE_OTLP_ENDPOINT",
            format!("http://127.0.0.1:{port}"),
        ),
        ("PLAYHOUSE_TRACING_SAMPLED_PER_MILLE", "1000".to_owned()),
        ("PLAYHOUSE_TRACING_QUEUE_SPANS_MAX", "10".to_owned()),
    ];
    let mut server = TestServer::start_exactly(Options {
        environment: environment
            .map(|(name, value)| (name.to_owned(), value))
            .to_vec(),
        ..Options::default()
    });
    let anna = server.register("anna").await;
    let room_id = anna.create_room(json!({"preset": "public_chat"})).await;
    for number in 0..50 {
        anna.say(&room_id, &format!("message {number}")).await;
    }
    let (_, figures) = anna.text("/metrics").await;
    assert!(figures.contains("playhouse_http_requests_total"));
    let begun = Instant::now();
    server.stop();
    assert!(
        begun.elapsed() < PATIENCE,
        "the end waits for the collector"
    );
}

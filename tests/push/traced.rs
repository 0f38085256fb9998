//! A push from the event to the provider's answer: how long that takes, and its way as the logs of both sides tell it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    path::Path,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{
    gateway::{NOTIFY, TestGateway, apns_app},
    provider::{Provider, Seen},
};
use crate::harness::{Client, Options, PushGateway, TestServer, only_alone, wish};

/// What both sides tell.
const FILTER: &str = "warn,playhouse_hops=debug";

/// The hops of a push that nothing stands in the way of.
const HOPS: [&str; 10] = [
    "judged", "asked", "received", "accepted", "attempt", "verdict", "settled", "told", "answered",
    "noted",
];

/// The spans, each within the one before.
const SPANS: [&str; 4] = ["push", "push_request", "push_notify", "push_attempt"];

const PUSHKEY: &str = "0a0b0c0d0e0f0001";

const PATIENCE: Duration = Duration::from_secs(180);

/// A message: the event, when it was sent, and what the provider was asked for.
struct Message {
    event_id: String,
    sent: Instant,
    seen: Seen,
}

#[tokio::test(flavor = "multi_thread")]
async fn every_hop_of_a_push_is_in_the_logs() {
    if only_alone("the log of one process is read") {
        return;
    }
    let provider = Provider::start().await;
    let apps = [apns_app(&provider, ", hex_tokens = true")];
    let gateway = TestGateway::start_telling(FILTER, &provider, &apps);
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("server.log");
    let mut environment = PushGateway::ENVIRONMENT.to_vec();
    environment.extend([("PLAYHOUSE_LOG", FILTER), ("PLAYHOUSE_LOG_FORMAT", "json")]);
    let environment = environment.into_iter();
    let server = TestServer::start_exactly(Options {
        environment: environment
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        log: Some(log.clone()),
        ..Options::default()
    });
    let (bert, room_id) = stage(&server, &gateway).await;
    let number = wish("PLAYHOUSE_TEST_PUSH_MESSAGES").unwrap_or(50);
    let mut messages = Vec::new();
    for number in 0..number {
        let sent = Instant::now();
        let event_id = bert.say(&room_id, &format!("message {number}")).await;
        let seen = arrived(&provider, &event_id).await;
        messages.push(Message {
            event_id,
            sent,
            seen,
        });
    }
    let logs = [log, gateway.path("gateway.log")];
    let ways = told(&logs, &messages).await;
    for (message, way) in messages.iter().zip(&ways) {
        check(message, way);
    }
    for log in &logs {
        let text = std::fs::read_to_string(log).expect("a log");
        assert!(!text.contains(PUSHKEY), "a pushkey stands in the log");
        assert!(!text.contains("message 0"), "a message stands in the log");
    }
    tell(&messages, &ways);
}

/// Anna has a pusher at the gateway, and is alone in a room with Bert.
async fn stage(server: &TestServer, gateway: &TestGateway) -> (Client, String) {
    let anna = server.register("anna").await;
    let bert = server.register("bert").await;
    let room_id = anna.create_room(json!({"preset": "public_chat"})).await;
    bert.join(&room_id).await;
    let url = format!("http://{}{NOTIFY}", gateway.place());
    let pusher = json!({
        "app_id": "org.example.ios", "pushkey": PUSHKEY, "kind": "http", "app_display_name": "App", "device_display_name": "Phone",
        "lang": "en", "data": {"url": url}
    });
    let set = anna.post("/_matrix/client/v3/pushers/set", pusher).await;
    set.ok();
    (bert, room_id)
}

async fn arrived(provider: &Provider, event_id: &str) -> Seen {
    let deadline = Instant::now() + PATIENCE;
    loop {
        // One comes after the other; to keep all would make the last ones slow.
        let seen = provider.taken();
        let found = seen
            .into_iter()
            .rev()
            .find(|seen| seen.json()["event_id"] == event_id);
        if let Some(found) = found {
            return found;
        }
        assert!(Instant::now() < deadline, "{event_id} does not arrive");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The lines about each message, once all hops are told.
async fn told(logs: &[impl AsRef<Path>], messages: &[Message]) -> Vec<Vec<Value>> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let traces = traces(logs);
        let ways: Vec<Vec<Value>> = messages
            .iter()
            .map(|message| way_of(&traces, &message.event_id))
            .collect();
        let lacking = ways.iter().find(|way| missing(way).next().is_some());
        let Some(lacking) = lacking else {
            return ways;
        };
        let missing: Vec<_> = missing(lacking).collect();
        assert!(Instant::now() < deadline, "{missing:?}: {lacking:#?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn missing(way: &[Value]) -> impl Iterator<Item = &'static str> {
    let told: BTreeSet<&str> = way
        .iter()
        .filter_map(|line| line["fields"]["hop"].as_str())
        .collect();
    HOPS.into_iter().filter(move |hop| !told.contains(hop))
}

/// All lines about hops, by trace, in the order of time.
fn traces(logs: &[impl AsRef<Path>]) -> BTreeMap<String, Vec<Value>> {
    let mut traces: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for log in logs {
        let text = std::fs::read_to_string(log).expect("a log");
        // The last line may be half written.
        let lines = text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        for line in lines {
            let line: Value = line;
            if line["fields"]["hop"].is_string()
                && let Some(trace) = line["span"]["trace_id"].as_str()
            {
                traces.entry(trace.to_owned()).or_default().push(line);
            }
        }
    }
    for lines in traces.values_mut() {
        lines.sort_by_key(at_us);
    }
    traces
}

/// The lines of the trace that began with an event.
fn way_of(traces: &BTreeMap<String, Vec<Value>>, event_id: &str) -> Vec<Value> {
    let begins =
        |line: &Value| line["fields"]["hop"] == "judged" && line["span"]["event_id"] == event_id;
    let mut found = traces.values().filter(|lines| lines.iter().any(begins));
    let way = found.next().cloned().unwrap_or_default();
    assert!(found.next().is_none(), "{event_id} was pushed twice");
    way
}

/// When a line was written: microseconds of the day.
fn at_us(line: &Value) -> u64 {
    let timestamp = line["timestamp"].as_str().unwrap_or_default();
    let part = |from: usize, to: usize| -> u64 {
        let digits = timestamp.get(from..to).unwrap_or_default();
        digits.parse().expect("a time")
    };
    let seconds = (part(11, 13) * 60 + part(14, 16)) * 60 + part(17, 19);
    seconds * 1_000_000 + part(20, 26)
}

fn at_hop(way: &[Value], hop: &str) -> u64 {
    let line = way.iter().find(|line| line["fields"]["hop"] == hop);
    at_us(line.expect("it was waited for"))
}

/// One trace, whose spans stand within each other on both sides, in an order that can be.
fn check(message: &Message, way: &[Value]) {
    let mut parent = "0000000000000000".to_owned();
    for name in SPANS {
        let of_span: BTreeSet<_> = way
            .iter()
            .filter(|line| line["span"]["name"] == name)
            .map(|line| {
                let id = |field: &str| line["span"][field].as_str().unwrap_or_default().to_owned();
                (id("span_id"), id("parent_id"))
            })
            .collect();
        assert_eq!(of_span.len(), 1, "{name}: {way:#?}");
        let (span_id, parent_id) = of_span.into_iter().next().unwrap_or_default();
        assert_eq!(parent_id, parent, "{name}: {way:#?}");
        assert_eq!(span_id.len(), 16);
        parent = span_id;
    }
    // Spans may be collected elsewhere: whose push it is stands in a line of the log only.
    let judged = way.iter().find(|line| line["fields"]["hop"] == "judged");
    let judged = &judged.expect("it was waited for")["fields"];
    assert!(judged["room_id"].is_string(), "{judged}");
    for line in way {
        let spans = line["spans"].to_string();
        for private in ["user_id", "room_id"] {
            assert!(!spans.contains(&judged[private].to_string()), "{spans}");
        }
    }
    let order = ["judged", "asked", "received", "attempt", "verdict"];
    let times: Vec<_> = order.iter().map(|hop| at_hop(way, hop)).collect();
    assert!(times.is_sorted(), "{way:#?}");
    let attempt = way.iter().find(|line| line["fields"]["hop"] == "verdict");
    let attempt = attempt.expect("it was waited for");
    assert_eq!(attempt["span"]["push_id"], message.seen.header("apns-id"));
    assert_eq!(attempt["fields"]["outcome"], "delivered");
}

#[expect(
    clippy::print_stdout,
    reason = "the figures belong into the test's output"
)]
fn tell(messages: &[Message], ways: &[Vec<Value>]) {
    let times = messages
        .iter()
        .map(|message| message.seen.at.duration_since(message.sent));
    let mut times: Vec<Duration> = times.collect();
    times.sort();
    println!(
        "{} messages, from the request that sends one to the provider: p50 {:?}, p99 {:?}, longest {:?}",
        times.len(),
        at(&times, 50),
        at(&times, 99),
        at(&times, 100),
    );
    println!("{}", steps(ways));
    let way = &ways[ways.len() / 2];
    let trace_id = &way[0]["span"]["trace_id"];
    println!("one of them, trace {trace_id}:\n{}", timeline(way));
}

/// What so many of a hundred do not exceed.
fn at<T: Copy>(sorted: &[T], share: usize) -> T {
    sorted[(sorted.len() * share / 100).min(sorted.len() - 1)]
}

/// How long each hop came after the event was judged.
fn steps(ways: &[Vec<Value>]) -> String {
    let mut text =
        "| hop | p50 ms after the verdict of push rules | p99 ms |\n|---|---:|---:|\n".to_owned();
    for hop in HOPS {
        let after = |way: &Vec<Value>| at_hop(way, hop).saturating_sub(at_hop(way, HOPS[0]));
        let mut after: Vec<u64> = ways.iter().map(after).collect();
        after.sort_unstable();
        let [usual, longest] = [50, 99].map(|share| at(&after, share) as f64 / 1_000.0);
        let _ = writeln!(text, "| {hop} | {usual:.3} | {longest:.3} |");
    }
    text
}

/// Each hop with the time since the event was recorded, and the span that tells it.
fn timeline(way: &[Value]) -> String {
    let push = way.iter().find(|line| line["span"]["name"] == "push");
    let recorded_ms = push.and_then(|line| line["span"]["recorded_ms"].as_u64());
    // The clock of the log has a day only, and microseconds; the event's has milliseconds.
    let recorded_us = recorded_ms.unwrap_or(0) % 86_400_000 * 1_000;
    let mut text = String::new();
    for line in way {
        let after_us = at_us(line).saturating_sub(recorded_us);
        let span = line["span"]["name"].as_str().unwrap_or_default();
        let depth = SPANS.iter().position(|name| *name == span).unwrap_or(0);
        let _ = writeln!(
            text,
            "{:>9.3} ms  {}{span} {}: {}",
            after_us as f64 / 1_000.0,
            "  ".repeat(depth),
            line["span"]["span_id"].as_str().unwrap_or_default(),
            line["fields"]["hop"].as_str().unwrap_or_default(),
        );
    }
    text
}

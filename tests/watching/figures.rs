//! What a server tells Prometheus.

use std::{
    io::Write as _,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::json;

use crate::harness::{Options, TestServer};

/// Figures of which nothing was counted yet are told after this time.
const PATIENCE: Duration = Duration::from_secs(120);

/// What `promtool` says of figures that can be read, but are called otherwise than it would like.
const MATTERS_OF_TASTE: i32 = 3;

#[tokio::test(flavor = "multi_thread")]
async fn figures_are_told_with_their_meanings() {
    let server = TestServer::start_exactly(Options::default());
    let anna = server.register("anna").await;
    let room_id = anna.create_room(json!({"preset": "public_chat"})).await;
    anna.say(&room_id, "hello").await;
    let wanted = [
        "# HELP playhouse_http_requests_total Requests answered, by endpoint;",
        "# TYPE playhouse_http_requests_total counter",
        "playhouse_http_requests_total{method=\"PUT\",path=\"/_matrix/client/v3/rooms/{room_id}/send/{event_type}/{txn_id}\",outcome=\"ok\"} 1",
        "playhouse_append_failures_total{family=\"rooms\",reason=\"failed\"} 0",
        "playhouse_state_resets_total 0",
        "playhouse_parked_items 0",
        "playhouse_initial_syncs 0",
        "playhouse_build_info{version=",
        "playhouse_disk_free_bytes ",
        "playhouse_database_bytes ",
        "# HELP process_resident_memory_bytes Memory held.",
        "process_resident_memory_bytes ",
    ];
    let deadline = Instant::now() + PATIENCE;
    let text = loop {
        let (status, text) = anna.text("/metrics").await;
        assert_eq!(status, 200);
        let missing: Vec<_> = wanted.iter().filter(|line| !text.contains(*line)).collect();
        if missing.is_empty() {
            break text;
        }
        assert!(Instant::now() < deadline, "{missing:?} in {text}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    let checked = tokio::task::spawn_blocking(move || checked(&text)).await;
    let (status, complaints) = checked.expect("promtool runs");
    assert!(matches!(status, Some(0 | MATTERS_OF_TASTE)), "{complaints}");
}

/// Has Prometheus' own tool read figures: how that ended, and what it said.
fn checked(text: &str) -> (Option<i32>, String) {
    let mut tool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool runs: `ops/ci/test` installs it (Debian: apt-get install prometheus)");
    let mut input = tool.stdin.take().expect("standard input is piped");
    input.write_all(text.as_bytes()).expect("it reads");
    drop(input);
    let ended = tool.wait_with_output().expect("it ends");
    let complaints = String::from_utf8_lossy(&ended.stderr).into_owned();
    (ended.status.code(), complaints)
}

//! The canary: it sings in a room of its own, stays there, and is missed when it cannot.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Client, Options, TestServer, administrator, prometheus::Prometheus};

const CANARY: &str = "@canary:playhouse.test";

/// Whatever shall happen happens within this time.
const PATIENCE: Duration = Duration::from_secs(60);

fn server() -> TestServer {
    let environment = [
        ("PLAYHOUSE_CANARY_ENABLED", "true"),
        ("PLAYHOUSE_CANARY_EVERY_MS", "200"),
        ("PLAYHOUSE_CANARY_TIMEOUT_MS", "5000"),
        ("PLAYHOUSE_CANARY_HISTORY_MAX", "20"),
    ];
    TestServer::start_exactly(Options {
        environment: environment
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec(),
        ..Options::default()
    })
}

/// A figure without labels; nothing when it is not told.
async fn figure(client: &Client, name: &str) -> Option<f64> {
    let (_, text) = client.text("/metrics").await;
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.and_then(|value| value.parse().ok())
}

/// Waits until it has sung so often in this life of the server.
async fn sung(server: &TestServer, times: f64) {
    let (client, deadline) = (server.client(), Instant::now() + PATIENCE);
    let sung = "playhouse_canary_seconds_count";
    while figure(&client, sung).await.unwrap_or_default() < times {
        assert!(Instant::now() < deadline, "the canary does not sing");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for silence in ["gaps", "late", "failures"] {
        let name = format!("playhouse_canary_{silence}_total");
        assert_eq!(figure(&client, &name).await, Some(0.0), "{name}");
    }
}

async fn rooms(boss: &Client) -> Value {
    let path = format!("/_synapse/admin/v1/users/{CANARY}/joined_rooms");
    boss.get(&path).await.ok()["joined_rooms"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_sings_and_its_room_stays_small() {
    let mut server = server();
    let boss = administrator(&server.client(), "boss").await;
    // More than once through its history.
    sung(&server, 45.0).await;
    let before = rooms(&boss).await;
    assert_eq!(before.as_array().map(Vec::len), Some(1), "{before}");
    let room_id = before[0].as_str().expect("a room ID");
    let deadline = Instant::now() + PATIENCE;
    let messages = format!(
        "/_synapse/admin/v1/rooms/{}/messages?dir=b&limit=500",
        crate::harness::client::encode(room_id)
    );
    loop {
        let told = boss.get(&messages).await.ok();
        let sung = told["chunk"].as_array().expect("events").iter();
        let count = sung
            .filter(|event| event["content"]["number"].is_u64())
            .count();
        if (1..=40).contains(&count) {
            break;
        }
        assert!(
            Instant::now() < deadline,
            "{count} messages are still there"
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    server.restart();
    sung(&server, 3.0).await;
    assert_eq!(rooms(&boss.at(server.base())).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_with_its_name_is_left_alone() {
    let mut server = TestServer::start_exactly(Options::default());
    server.register("canary").await;
    server.set("PLAYHOUSE_CANARY_ENABLED", "true");
    server.set("PLAYHOUSE_CANARY_EVERY_MS", "100");
    server.restart();
    let (client, deadline) = (server.client(), Instant::now() + PATIENCE);
    let failures = "playhouse_canary_failures_total";
    while figure(&client, failures).await.unwrap_or_default() < 2.0 {
        assert!(
            Instant::now() < deadline,
            "nobody says that the name is taken"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let boss = administrator(&client, "boss").await;
    assert_eq!(rooms(&boss).await, json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_missed() {
    let server = server();
    let boss = administrator(&server.client(), "boss").await;
    sung(&server, 1.0).await;
    let prometheus = Prometheus::watching(&[server.base()]).await;
    prometheus.is_quiet().await;
    let path = format!("/_synapse/admin/v1/deactivate/{CANARY}");
    boss.post(&path, json!({})).await.ok();
    let name = "PlayhouseCanary";
    prometheus.only_fires(name, async || {}).await;
}

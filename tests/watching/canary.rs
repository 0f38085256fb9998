//! The canary: it sings in a room of its own, stays there, and is missed when it cannot.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::harness::{
    Client, Options, TestServer, administrator, client::encode, prometheus::Prometheus,
};

const CANARY: &str = "@canary:playhouse.test";

/// Whatever shall happen happens within this time.
const PATIENCE: Duration = Duration::from_secs(180);

fn server() -> TestServer {
    server_with(&[])
}

/// A server with a canary. No machine is so slow that its messages were late.
fn server_with(more: &[(&str, &str)]) -> TestServer {
    let environment = [
        ("PLAYHOUSE_CANARY_ENABLED", "true"),
        ("PLAYHOUSE_CANARY_EVERY_MS", "200"),
        ("PLAYHOUSE_CANARY_TIMEOUT_MS", "60000"),
        ("PLAYHOUSE_CANARY_HISTORY_MAX", "20"),
    ];
    let environment = environment.iter().chain(more);
    TestServer::start_exactly(Options {
        environment: environment
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
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

/// Waits until what is left of the canary's messages in a room is as it should be: of each, in which life it was sent.
async fn left(boss: &Client, room_id: &str, is_right: impl Fn(&[String]) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    let messages = format!(
        "/_synapse/admin/v1/rooms/{}/messages?dir=b&limit=500",
        encode(room_id)
    );
    loop {
        let told = boss.get(&messages).await.ok();
        let events = told["chunk"].as_array().expect("events").iter();
        let lives: Vec<_> = events
            .filter_map(|event| event["content"]["life"].as_str())
            .map(ToOwned::to_owned)
            .collect();
        if is_right(&lives) {
            return;
        }
        assert!(Instant::now() < deadline, "still there: {lives:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
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
    left(&boss, room_id, |lives| (1..=40).contains(&lives.len())).await;
    server.restart();
    sung(&server, 3.0).await;
    let boss = boss.at(server.base());
    assert_eq!(rooms(&boss).await, before);
    // However short a life is: of the one before nothing is left.
    let is_of_one_life =
        |lives: &[String]| lives.iter().collect::<BTreeSet<_>>().len() == 1 && lives.len() <= 40;
    left(&boss, room_id, is_of_one_life).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_leaves_the_rooms_of_others_alone() {
    let mut server = server();
    let boss = administrator(&server.client(), "boss").await;
    sung(&server, 1.0).await;
    let mut others = Vec::new();
    // One of so many comes before its own, as far as anybody can tell.
    for _ in 0..10 {
        let room_id = boss.create_room(json!({"preset": "public_chat"})).await;
        let event_id = boss.say(&room_id, "hello").await;
        let path = format!("/_synapse/admin/v1/join/{}", encode(&room_id));
        boss.post(&path, json!({"user_id": CANARY})).await.ok();
        others.push((room_id, event_id));
    }
    server.restart();
    sung(&server, 25.0).await;
    let boss = boss.at(server.base());
    for (room_id, event_id) in others {
        left(&boss, &room_id, <[String]>::is_empty).await;
        let path = format!(
            "/_matrix/client/v3/rooms/{}/event/{}",
            encode(&room_id),
            encode(&event_id)
        );
        let event = boss.get(&path).await.ok();
        assert_eq!(event["content"]["body"], "hello", "{event}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_let_in_as_it() {
    let secret = "a secret of two systems";
    let server = server_with(&[
        ("PLAYHOUSE_JWT_ENABLED", "true"),
        ("PLAYHOUSE_JWT_SECRET", secret),
    ]);
    sung(&server, 1.0).await;
    let nobody = server.client();
    let key = jsonwebtoken::EncodingKey::from_secret(secret.as_bytes());
    for (name, is_let_in) in [("canary", false), ("Canary", false), ("canary-bird", true)] {
        let claims = json!({"sub": name, "exp": 4_000_000_000_u64});
        let token = jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key);
        let token = token.expect("a token can be signed");
        let body = json!({"type": "org.matrix.login.jwt", "token": token});
        let answer = nobody.post("/_matrix/client/v3/login", body).await;
        if is_let_in {
            answer.ok();
        } else {
            answer.refused(403, "M_FORBIDDEN");
        }
    }
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

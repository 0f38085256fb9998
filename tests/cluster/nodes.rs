//! Real nodes over one database: they are one server, and stay one when some of them go.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::shared::{CLUSTER, Shared, is_at_rest};
use crate::{
    admin::administrator,
    client::props::room_path,
    harness::{
        Client, Options, TestServer, client::encode, nonce, register_by_nonce, server::SERVER_NAME,
    },
};

/// Longer than a lease, and than anything that waits for one.
const LONG: Duration = Duration::from_secs(240);

impl Shared {
    /// What a node says that does not start.
    fn refused(&self, data: &Path, environment: &[(String, String)]) -> String {
        let output = Command::new("timeout")
            .args(["120", env!("CARGO_BIN_EXE_playhouse"), "run"])
            .env("PLAYHOUSE_SERVER_NAME", SERVER_NAME)
            .env("PLAYHOUSE_DATA_DIR", data)
            .env("PLAYHOUSE_LISTEN", "127.0.0.1:0")
            .env("PLAYHOUSE_FEDERATION_NOTARIES", "")
            .env("PLAYHOUSE_DATABASE", &self.database)
            .envs(environment.iter().cloned())
            .stdin(Stdio::null())
            .output()
            .expect("the program runs");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{text}");
        text
    }
}

/// What the register says.
pub(super) fn status(server: &TestServer) -> Value {
    let (is_fine, text) = server.command_line(&["cluster", "status", "--json"]);
    assert!(is_fine, "{text}");
    let line = text.lines().find(|line| line.starts_with('{'));
    serde_json::from_str(line.expect("a line of JSON")).expect("JSON")
}

/// Waits until the register says so.
pub(super) async fn until(
    server: &TestServer,
    what: &str,
    is_so: impl Fn(&Value) -> bool,
) -> Value {
    let deadline = Instant::now() + LONG;
    loop {
        let status = status(server);
        if is_so(&status) {
            return status;
        }
        assert!(Instant::now() < deadline, "{what}: {status}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Each of the nodes holds something, nobody else anything, and nothing is on its way.
pub(super) async fn settled(server: &TestServer, nodes: &[&str]) -> Value {
    until(server, "the shards find no place", |status| {
        is_at_rest(status, nodes)
    })
    .await
}

pub(super) async fn healthy(server: &TestServer, expected: u16) {
    let deadline = Instant::now() + LONG;
    loop {
        let (code, text) = server.client().text("/health").await;
        if code == expected {
            return;
        }
        assert!(Instant::now() < deadline, "{code} {text}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What one gives the other takes, and both know that it was used.
async fn nonces_are_known_to_both(one: &TestServer, two: &TestServer) {
    let given = nonce(&one.client()).await;
    let made = register_by_nonce(&two.client(), &given, "second").await;
    made.ok();
    for server in [one, two] {
        let refused = register_by_nonce(&server.client(), &given, "third").await;
        refused.refused(400, "M_UNKNOWN");
    }
}

/// What was said in a room.
fn texts(history: &[Value]) -> Vec<String> {
    let bodies = history.iter();
    bodies
        .filter_map(|event| event["content"]["body"].as_str().map(ToOwned::to_owned))
        .collect()
}

/// Says something as clients do: who is told that it is in doubt whether it was done asks for the same once more, in the same transaction. A node that the
/// machine does not let answer for half of its lease is silent to the others, and what is under way to it is in doubt.
async fn insist(client: &Client, room_id: &str, body: &str) {
    let path = room_path(room_id, &format!("send/m.room.message/{}", encode(body)));
    let content = json!({"msgtype": "m.text", "body": body});
    let deadline = Instant::now() + LONG;
    loop {
        let answer = client.put(&path, content.clone()).await;
        if answer.status != 503 {
            answer.ok();
            return;
        }
        assert!(Instant::now() < deadline, "{path}: {}", answer.body);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn nodes_are_one_server() {
    let shared = Shared::steady();
    let (one, mut two) = (shared.start("n1", false), shared.start("n2", false));
    settled(&one, &["n1", "n2"]).await;
    let key = |server: &TestServer| fs::read(server.data().join("signing.key")).ok();
    assert!(key(&one).is_some() && key(&one) == key(&two));
    let boss = administrator(&one.client(), "boss").await;
    nonces_are_known_to_both(&one, &two).await;
    let there = boss.at(two.base());
    let room_id = there.create_room(json!({})).await;
    for (number, client) in [&boss, &there, &boss, &there].into_iter().enumerate() {
        client.say(&room_id, &format!("{number}")).await;
    }
    let (here, away) = (boss.history(&room_id).await, there.history(&room_id).await);
    assert_eq!(texts(&here).len(), 4);
    assert_eq!(texts(&here), texts(&away));
    let seen = there.get(CLUSTER).await.ok();
    assert_eq!(
        (&seen["node"], seen["nodes"].as_array().map(Vec::len)),
        (&json!("n2"), Some(2))
    );
    let stranger = one.register("stranger").await;
    stranger.get(CLUSTER).await.refused(403, "M_FORBIDDEN");
    // One rests, and works again.
    let (is_fine, text) = one.command_line(&["cluster", "drain", "n2"]);
    assert!(is_fine, "{text}");
    settled(&one, &["n1"]).await;
    healthy(&two, 503).await;
    there.say(&room_id, "4").await;
    let joined = boss
        .post(&format!("{CLUSTER}/nodes/n2/join"), json!({}))
        .await;
    joined.ok();
    settled(&one, &["n1", "n2"]).await;
    healthy(&two, 200).await;
    // A shard goes where it is told.
    let pin = format!("{CLUSTER}/shards/rooms/3/pin");
    for node in ["n1", "n2"] {
        boss.put(&pin, json!({"node": node})).await.ok();
        until(&one, "the shard does not come", |status| {
            let shards = status["shards"].as_array().expect("shards");
            shards.iter().any(|shard| {
                shard["family"] == "rooms" && shard["number"] == 3 && shard["holder"] == node
            })
        })
        .await;
    }
    boss.put(&pin, json!({"node": "n3"}))
        .await
        .refused(404, "M_NOT_FOUND");
    boss.delete(&pin).await.ok();
    two.stop();
    settled(&one, &["n1"]).await;
    boss.say(&room_id, "5").await;
    let (is_fine, text) = one.command_line(&["cluster", "leave", "n2"]);
    assert!(is_fine, "{text}");
    assert_eq!(status(&one)["nodes"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn who_is_killed_is_replaced() {
    let shared = Shared::steady();
    let (one, mut two) = (shared.start("n1", false), shared.start("n2", false));
    settled(&one, &["n1", "n2"]).await;
    let boss = administrator(&one.client(), "boss").await;
    let mut rooms = Vec::new();
    for _ in 0..6 {
        rooms.push(boss.create_room(json!({})).await);
    }
    settled(&one, &["n1", "n2"]).await;
    two.kill();
    settled(&one, &["n1"]).await;
    for room_id in &rooms {
        boss.say(room_id, "still here").await;
    }
    two.start_again();
    settled(&one, &["n1", "n2"]).await;
    let there = boss.at(two.base());
    for room_id in &rooms {
        insist(&there, room_id, "here again").await;
        // Nothing is lost, and nothing is there twice.
        let history = there.history(room_id).await;
        assert_eq!(texts(&history), ["still here", "here again"]);
    }
}

#[tokio::test]
async fn nobody_joins_beside_a_server_that_is_alone() {
    let shared = Shared::steady();
    let mut alone = TestServer::start_exactly(Options {
        database: Some(shared.database.clone()),
        ..Options::default()
    });
    let user = alone.register("alice").await;
    let room_id = user.create_room(json!({})).await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let refused = shared.refused(folder.path(), &shared.environment("n1", "secret"));
    assert!(refused.contains("without [cluster]"), "{refused}");
    assert!(!folder.path().join("signing.key").exists());
    user.say(&room_id, "it writes still").await;
    alone.stop();
    let one = shared.start("n1", false);
    settled(&one, &["n1"]).await;
}

#[tokio::test]
async fn who_does_not_belong_is_refused() {
    let shared = Shared::steady();
    let one = shared.start("n1", false);
    settled(&one, &["n1"]).await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let other = shared.refused(folder.path(), &shared.environment("n2", "other"));
    assert!(other.contains("[cluster] secret"), "{other}");
    let alone = shared.refused(folder.path(), &[]);
    assert!(alone.contains("node n1"), "{alone}");
    // Another key than that of the others, whose name is told too.
    let key = format!("ed25519 strange {}\n", "A".repeat(43));
    fs::write(folder.path().join("signing.key"), key).expect("it can be written");
    let strange = shared.refused(folder.path(), &shared.environment("n2", "secret"));
    assert!(strange.contains("ed25519:strange"), "{strange}");
    let known = fs::read_to_string(one.data().join("signing.key")).expect("a key");
    let version = known.split_whitespace().nth(1).expect("a version");
    assert!(strange.contains(version), "{strange}");
}

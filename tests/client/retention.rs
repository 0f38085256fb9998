//! How long events are kept (MSC1763).

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::stage::{on_each_engine, on_own_servers};
use crate::harness::{Client, TestServer, client::encode};

const CONFIGURATION: &str = "/_matrix/client/unstable/org.matrix.msc1763/retention/configuration";

async fn bodies(client: &Client, room_id: &str) -> Vec<String> {
    let history = client.history(room_id).await;
    let bodies = history
        .iter()
        .filter_map(|event| event["content"]["body"].as_str());
    bodies.map(ToOwned::to_owned).collect()
}

async fn event(client: &Client, room_id: &str, event_id: &str) -> crate::harness::client::Answer {
    let path = format!(
        "/_matrix/client/v3/rooms/{}/event/{}",
        encode(room_id),
        encode(event_id)
    );
    client.get(&path).await
}

async fn keep_for(client: &Client, room_id: &str, content: Value) {
    client
        .set_state(room_id, "m.room.retention", "", content)
        .await
        .ok();
}

/// Whether a text stands anywhere in the log.
pub(crate) fn is_stored(server: &TestServer, text: &str) -> bool {
    match server.database() {
        Some(dsn) => {
            let dsn = dsn.to_owned();
            let text = text.to_owned();
            let count = std::thread::spawn(move || {
                let mut client =
                    postgres::Client::connect(&dsn, postgres::NoTls).expect("PostgreSQL answers");
                let row = client.query_one(
                    "SELECT count(*) FROM log_rooms WHERE position($1::bytea in payload) > 0",
                    &[&text.as_bytes()],
                );
                row.expect("a count").get::<_, i64>(0)
            });
            count.join().expect("it was counted") > 0
        }
        None => {
            let folder = std::fs::read_dir(server.data().join("log")).expect("the log");
            folder.flatten().any(|file| {
                let bytes = std::fs::read(file.path()).unwrap_or_default();
                bytes
                    .windows(text.len())
                    .any(|window| window == text.as_bytes())
            })
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_events_are_shown_to_nobody_and_taken_out() {
    let settings = [
        ("PLAYHOUSE_RETENTION_ENABLED", "true"),
        ("PLAYHOUSE_RETENTION_SWEEP_EVERY_MS", "2500"),
    ];
    on_own_servers(&settings, async |server| {
        let anna = server.register("anna").await;
        let forever = anna.create_room(json!({})).await;
        let kept = anna.say(&forever, "kept for ever").await;
        let room_id = anna.create_room(json!({"name": "short"})).await;
        let begun = Instant::now();
        let first = anna.say(&room_id, "a secret that goes").await;
        anna.say(&room_id, "another that goes").await;
        keep_for(&anna, &room_id, json!({"max_lifetime": 1500})).await;
        let shown = bodies(&anna, &room_id).await.len();
        let seen = event(&anna, &room_id, &first).await.status;
        // A slow server may have been asked too late.
        let is_late = begun.elapsed() >= Duration::from_millis(1500);
        assert!(is_late || (shown, seen) == (2, 200), "{shown} {seen}");
        tokio::time::sleep(Duration::from_millis(1600)).await;
        // Shown no more at once, whatever stands in the log still.
        event(&anna, &room_id, &first)
            .await
            .refused(404, "M_NOT_FOUND");
        assert!(bodies(&anna, &room_id).await.is_empty());
        let timeline = |answer: &Value| answer["rooms"]["join"][&room_id]["timeline"].to_string();
        let answer = anna
            .sync_anew_until("", |answer| timeline(answer).contains("m.room.retention"))
            .await;
        assert!(!timeline(&answer).contains("goes"), "{answer}");
        let context = format!(
            "/_matrix/client/v3/rooms/{}/context/{}",
            encode(&room_id),
            encode(&first)
        );
        anna.get(&context).await.refused(404, "M_NOT_FOUND");
        let mut gone = false;
        for _ in 0..1_200 {
            gone = !is_stored(server, "a secret that goes") && !is_stored(server, "another that");
            if gone {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert!(gone, "it stays in the log");
        // State stays, other rooms stay, and what was taken out does not come back when the room says otherwise.
        keep_for(&anna, &room_id, json!({})).await;
        let last = anna.say(&room_id, "the last").await;
        assert_eq!(bodies(&anna, &room_id).await, ["the last"]);
        server.restart();
        let anna = anna.at(server.base());
        assert_eq!(bodies(&anna, &room_id).await, ["the last"]);
        event(&anna, &room_id, &first)
            .await
            .refused(404, "M_NOT_FOUND");
        event(&anna, &room_id, &last).await.ok();
        event(&anna, &forever, &kept).await.ok();
        server.stop();
        let (whole, text) = server.command_line(&["log", "verify"]);
        assert!(whole, "{text}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_event_of_a_room_stays() {
    let settings = [
        ("PLAYHOUSE_RETENTION_ENABLED", "true"),
        ("PLAYHOUSE_RETENTION_DEFAULT_MAX_LIFETIME_MS", "5000000"),
        ("PLAYHOUSE_RETENTION_LIFETIME_MAX_MS", "200"),
        ("PLAYHOUSE_RETENTION_SWEEP_EVERY_MS", "300"),
    ];
    on_own_servers(&settings, async |server| {
        let anna = server.register("anna").await;
        let told = anna.get(CONFIGURATION).await.ok();
        let wanted = json!({
            "policies": {"*": {"max_lifetime": 5_000_000}}, "limits": {"max_lifetime": {"max": 200}}
        });
        assert_eq!(told, wanted);
        let room_id = anna.create_room(json!({})).await;
        for body in ["one", "two", "three"] {
            anna.say(&room_id, body).await;
        }
        for _ in 0..2_400 {
            if !is_stored(server, "\"two\"") {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(bodies(&anna, &room_id).await, ["three"]);
        assert!(!is_stored(server, "\"two\"") && is_stored(server, "\"three\""));
        anna.say(&room_id, "four").await;
        for _ in 0..2_400 {
            if !is_stored(server, "\"three\"") {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(bodies(&anna, &room_id).await, ["four"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_expires_unless_the_operator_wants_it() {
    on_each_engine(async |stage| {
        let anna = stage.user("anna").await;
        let told = anna.get(CONFIGURATION).await.ok();
        assert_eq!(told, json!({"policies": {}, "limits": {}}));
        let room_id = anna.create_room(json!({})).await;
        keep_for(&anna, &room_id, json!({"max_lifetime": 1})).await;
        anna.say(&room_id, "stays").await;
        anna.say(&room_id, "stays too").await;
        assert_eq!(bodies(&anna, &room_id).await, ["stays", "stays too"]);
    })
    .await;
}

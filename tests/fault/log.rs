//! The log finds its own damage, and everything else can be made again from it.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::harness::{Client, Database, Options, TestServer, client::encode};

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_byte_is_found_on_sqlite() {
    let mut server = TestServer::start_with(Options::default()).await;
    populate(&server).await;
    server.stop();
    let (whole, text) = server.command_line(&["log", "verify"]);
    assert!(whole, "{text}");
    if let Some(dsn) = server.database().map(ToOwned::to_owned) {
        flip_on_postgres(dsn).await;
    } else {
        flip_on_sqlite(&server);
    }
    assert_damage_is_named(&server);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_byte_is_found_on_postgres() {
    let dsn = Database::create();
    let mut server = TestServer::start_with(Options {
        database: Some(dsn.clone()),
        ..Options::default()
    })
    .await;
    populate(&server).await;
    server.stop();
    let (whole, text) = server.command_line(&["log", "verify"]);
    assert!(whole, "{text}");
    flip_on_postgres(dsn).await;
    assert_damage_is_named(&server);
}

#[expect(
    clippy::print_stdout,
    reason = "what was found belongs into the test's output"
)]
fn assert_damage_is_named(server: &TestServer) {
    let (whole, text) = server.command_line(&["log", "verify"]);
    println!("{text}");
    assert!(!whole, "the damage went unseen: {text}");
    assert!(
        text.contains("rooms/") && text.contains("position"),
        "neither shard nor position: {text}"
    );
}

fn flip_on_sqlite(server: &TestServer) {
    // The payload of one event, found by what was said in it.
    let path = server.data().join("log/rooms-0.db");
    let database = rusqlite::Connection::open(path).expect("the log file");
    let said = b"a sentence to be damaged";
    let find = "SELECT place, payload FROM log_rooms WHERE instr(payload, ?1) > 0";
    let found = database.query_row(find, (&said[..],), |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?))
    });
    let (place, mut payload) = found.expect("it was said");
    let at = payload.windows(said.len()).position(|part| part == said);
    payload[at.expect("it is in there")] ^= 1;
    let change = "UPDATE log_rooms SET payload = ?2 WHERE place = ?1";
    let rows = database.execute(change, (place, payload));
    assert_eq!(rows.expect("the row can be changed"), 1);
}

async fn flip_on_postgres(dsn: String) {
    let flip = move || {
        let mut client =
            postgres::Client::connect(&dsn, postgres::NoTls).expect("PostgreSQL answers");
        let rows = client
            .execute(
                "UPDATE log_rooms SET payload = set_byte(payload, 10, get_byte(payload, 10) # 1) \
                 WHERE place = (SELECT max(place) FROM log_rooms)",
                &[],
            )
            .expect("the row can be changed");
        assert_eq!(rows, 1);
    };
    tokio::task::spawn_blocking(flip)
        .await
        .expect("the byte is flipped");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_rebuilt_is_the_same() {
    let mut server = TestServer::start().await;
    let (anna, bert) = populate(&server).await;
    let before = [crawl(&anna, &server).await, crawl(&bert, &server).await];
    server.stop();
    let (done, text) = server.command_line(&["log", "rebuild"]);
    assert!(done, "{text}");
    server.start_again();
    let after = [crawl(&anna, &server).await, crawl(&bert, &server).await];
    for (before, after) in before.iter().zip(&after) {
        for (name, answer) in before {
            let again = after
                .iter()
                .find(|(other, _)| other == name)
                .map(|(_, answer)| answer);
            assert_eq!(Some(answer), again, "{name} changed");
        }
    }
}

pub(super) async fn populate(server: &TestServer) -> (Client, Client) {
    let anna = server.register("anna").await;
    let bert = server.register("bert").await;
    let mut shared = Vec::new();
    for index in 0..4 {
        let alias = format!("room{index}");
        let room_id = anna
            .create_room(json!({"preset": "public_chat", "name": alias, "room_alias_name": alias}))
            .await;
        if index < 3 {
            bert.join(&room_id).await;
            shared.push(room_id.clone());
        } else {
            let invite = format!("/_matrix/client/v3/rooms/{}/invite", encode(&room_id));
            anna.post(&invite, json!({"user_id": bert.user_id}))
                .await
                .ok();
        }
        for line in 0..30 {
            anna.say(&room_id, &format!("line {line}")).await;
        }
        anna.set_state(&room_id, "m.room.topic", "", json!({"topic": "lines"}))
            .await
            .ok();
        let redact = anna.say(&room_id, "too much").await;
        let path = format!(
            "/_matrix/client/v3/rooms/{}/redact/{}/r{index}",
            encode(&room_id),
            encode(&redact)
        );
        anna.put(&path, json!({})).await.ok();
        anna.say(&room_id, "a sentence to be damaged").await;
    }
    let profile = format!(
        "/_matrix/client/v3/profile/{}/displayname",
        encode(&bert.user_id)
    );
    bert.put(&profile, json!({"displayname": "Bert"}))
        .await
        .ok();
    // Rooms hear of it a little later.
    let deadline = Instant::now() + Duration::from_secs(120);
    for room_id in &shared {
        let path = format!("state/m.room.member/{}", encode(&bert.user_id));
        while anna.look(room_id, &path).await.ok()["displayname"] != "Bert" {
            assert!(Instant::now() < deadline, "{room_id} does not hear of it");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    let data = format!(
        "/_matrix/client/v3/user/{}/account_data/org.example",
        encode(&bert.user_id)
    );
    bert.put(&data, json!({"a": 1})).await.ok();
    (anna, bert)
}

/// What a client sees of everything it can see.
pub(super) async fn crawl(client: &Client, server: &TestServer) -> Vec<(String, Value)> {
    let client = client.at(server.base());
    let mut seen = Vec::new();
    let joined = client.get("/_matrix/client/v3/joined_rooms").await.ok();
    let mut rooms: Vec<String> = joined["joined_rooms"]
        .as_array()
        .into_iter()
        .flatten()
        .map(text)
        .collect();
    rooms.sort();
    for room_id in &rooms {
        for part in ["state", "members", "joined_members", "aliases"] {
            let path = format!("/_matrix/client/v3/rooms/{}/{part}", encode(room_id));
            seen.push((path.clone(), steady(client.get(&path).await.ok())));
        }
        let history = steady(Value::Array(client.history(room_id).await));
        seen.push((format!("history of {room_id}"), compact(history)));
    }
    seen.push(("rooms".to_owned(), json!(rooms)));
    let filter = encode(
        "{\"room\":{\"timeline\":{\"limit\":50}},\"presence\":{\"limit\":0,\"not_types\":[\"*\"]}}",
    );
    let sync = client.sync(None, &format!("filter={filter}")).await;
    seen.push(("sync".to_owned(), steady(sync["rooms"].clone())));
    for user_id in ["@anna:playhouse.test", "@bert:playhouse.test"] {
        let path = format!("/_matrix/client/v3/profile/{}", encode(user_id));
        seen.push((path.clone(), client.get(&path).await.ok()));
    }
    seen
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// So many events are kept as they are; of more a digest, lest a large server's answers fill the memory.
const KEPT_MAX: usize = 500;

fn compact(events: Value) -> Value {
    let Some(count) = events
        .as_array()
        .map(Vec::len)
        .filter(|count| *count > KEPT_MAX)
    else {
        return events;
    };
    let mut hasher = DefaultHasher::new();
    events.to_string().hash(&mut hasher);
    json!({"events": count, "digest": hasher.finish()})
}

/// Without what changes by itself: ages.
pub(super) fn steady(mut value: Value) -> Value {
    match &mut value {
        Value::Object(object) => {
            object.remove("age");
            for (_, inner) in object.iter_mut() {
                *inner = steady(inner.take());
            }
        }
        Value::Array(list) => {
            for inner in list.iter_mut() {
                *inner = steady(inner.take());
            }
        }
        _ => {}
    }
    value
}

//! The way of an event through the server.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Shared, administrator};
use crate::{
    client::{props::text, stage::on_own_servers},
    harness::{Client, client::encode},
};

fn path(event_id: &str, query: &str) -> String {
    let event_id = encode(event_id);
    format!("/_playhouse/admin/v1/events/{event_id}/journey{query}")
}

/// Asks until the answer is as wanted.
async fn until(boss: &Client, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..2_400 {
        let told = boss.get(path).await.ok();
        if wanted(&told) {
            return told;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it never comes to be so: {}", boss.get(path).await.ok());
}

fn feed_of(told: &Value, user: &Client) -> String {
    let users = told["users"].as_array().expect("a list");
    let found = users
        .iter()
        .find(|one| one["user_id"] == json!(user.user_id));
    text(&found.expect("the user is there")["feed"])
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_followed_to_its_readers() {
    on_own_servers(&[], async |server| {
        let boss = administrator(&server.client(), "boss").await;
        let [anna, bert] = [server.register("anna").await, server.register("bert").await];
        let room_id = anna.create_room(json!({"preset": "public_chat"})).await;
        bert.join(&room_id).await;
        bert.sync(None, "").await;
        let event_id = anna.say(&room_id, "hello").await;
        let heard = |told: &Value| {
            let users = told["users"].as_array().map_or(0, Vec::len);
            users == 2 && feed_of(told, &bert) == "heard"
        };
        let told = until(&boss, &path(&event_id, ""), heard).await;
        assert_eq!(feed_of(&told, &anna), "asleep");
        assert_eq!(told["room_id"], json!(room_id));
        assert_eq!(told["sender"], json!(anna.user_id));
        assert_eq!(
            (&told["verdict"], &told["placement"]),
            (&json!("accepted"), &json!("live"))
        );
        assert_eq!(
            (&told["made_here"], &told["forward_extremity"]),
            (&json!(true), &json!(true))
        );
        assert!(told["stored"]["position"].as_u64() > Some(0), "{told}");
        assert!(
            told["received_ts"].as_u64() > Some(1_700_000_000_000),
            "{told}"
        );
        assert_eq!(told["destinations"], json!([]));
        assert!(
            !told.to_string().contains("hello"),
            "what was said is nobody's business"
        );
        // Page by page.
        let first = boss.get(&path(&event_id, "?limit=1")).await.ok();
        assert_eq!(first["users"].as_array().map(Vec::len), Some(1));
        let rest = format!(
            "?limit=1&users_from={}",
            encode(&text(&first["users_next"]))
        );
        let rest = boss.get(&path(&event_id, &rest)).await.ok();
        assert_ne!(rest["users"][0]["user_id"], first["users"][0]["user_id"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_became_of_an_event_is_told() {
    on_own_servers(&[], async |server| {
        let boss = administrator(&server.client(), "boss").await;
        let anna = server.register("anna").await;
        let room_id = anna.create_room(json!({"preset": "public_chat"})).await;
        let event_id = anna.say(&room_id, "hello").await;
        // State that was replaced is in force no more.
        let name = |name: &str| json!({"name": name});
        let old = anna
            .set_state(&room_id, "m.room.name", "", name("old"))
            .await
            .ok();
        let new = anna
            .set_state(&room_id, "m.room.name", "", name("new"))
            .await
            .ok();
        for (event, in_force) in [(&old, false), (&new, true)] {
            let told = boss.get(&path(&text(&event["event_id"]), "")).await.ok();
            assert_eq!(told["state"]["in_force"], in_force, "{told}");
        }
        // What was redacted says by what.
        let redact = format!(
            "/_matrix/client/v3/rooms/{}/redact/{}/t1",
            encode(&room_id),
            encode(&event_id)
        );
        let redaction = anna.put(&redact, json!({})).await.ok();
        let told = boss.get(&path(&event_id, "")).await.ok();
        assert_eq!(told["redacted_by"], redaction["event_id"]);
        boss.get(&path("$nothing", ""))
            .await
            .refused(404, "M_NOT_FOUND");
        boss.get(&path("nothing", ""))
            .await
            .refused(400, "M_INVALID_PARAM");
        anna.get(&path(&event_id, ""))
            .await
            .refused(403, "M_FORBIDDEN");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_followed_to_other_servers() {
    let mut shared = Shared::open().await;
    let (boss, anna) = (shared.boss.clone(), shared.anna.clone());
    let (two, room_id) = (&mut shared.two, &shared.room_id);
    let boss_of_two = administrator(&two.client(), "boss").await;
    let state = |told: &Value| {
        told["destinations"][0]["state"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    let event_id = anna.say(room_id, "hello").await;
    let told = until(&boss, &path(&event_id, ""), |told| {
        state(told) == "delivered"
    })
    .await;
    assert_eq!(told["destinations"][0]["server_name"], "two.town");
    // There it came from elsewhere, and is for nobody else.
    let arrived = path(&event_id, "");
    for _ in 0..2_400 {
        if boss_of_two.get(&arrived).await.status == 200 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let told = boss_of_two.get(&arrived).await.ok();
    assert_eq!(
        (&told["made_here"], &told["origin"]),
        (&json!(false), &json!("one.town"))
    );
    assert_eq!(told["received_from"], "one.town");
    assert_eq!(told["destinations"], json!([]));
    two.kill();
    let event_id = anna.say(room_id, "are you there").await;
    let failed = |told: &Value| told["destinations"][0]["failures"].as_u64() > Some(0);
    let told = until(&boss, &path(&event_id, ""), failed).await;
    assert_ne!(state(&told), "delivered", "{told}");
    assert!(
        told["destinations"][0]["next_attempt_ts"].is_u64(),
        "{told}"
    );
    two.restart();
    until(&boss, &path(&event_id, ""), |told| {
        state(told) == "delivered"
    })
    .await;
}

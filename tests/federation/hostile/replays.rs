//! Transactions that come again, and transactions that are none.

use reqwest::Method;
use serde_json::{Value, json};

use super::{EVIL, Scene};
use crate::{
    client::stage::fresh,
    harness::{client::encode, made::Made, peer::ask_as},
};

/// A good event, one that the rules forbid and one that is not signed rightly.
fn mixed(scene: &Scene) -> [Made; 3] {
    let eve = &scene.eve;
    let topic =
        eve.event(json!({"type": "m.room.topic", "state_key": "", "content": {"topic": "mine"}}));
    let mut forged = eve.text("forged");
    forged.json["signatures"][EVIL]["ed25519:peer"] = json!("AAAA".repeat(21) + "AA");
    [eve.text("good"), topic, forged]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_again_is_answered_again_and_happens_once() {
    let scene = Scene::open().await;
    let events = mixed(&scene);
    let [good, topic, forged] = &events;
    let pdus: Vec<_> = events.iter().map(|made| &made.json).collect();
    let device = encode(&scene.anna.device_id);
    let message = json!({"edu_type": "m.direct_to_device", "content": {
        "sender": "@eve:evil.test", "type": "m.test", "message_id": "m1",
        "messages": {&scene.anna.user_id: {&scene.anna.device_id: {"n": 1}}},
    }});
    let body = json!({"pdus": pdus, "edus": [message], "origin": EVIL, "origin_server_ts": 5});
    let id = fresh("again");
    // At the same time, one after the other, and under other names.
    let both = tokio::join!(
        scene.transaction_as(EVIL, &id, &body),
        scene.transaction_as(EVIL, &id, &body)
    );
    let first = both.0.ok();
    assert_eq!(both.1.ok(), first);
    Scene::assert_taken(&first["pdus"], good);
    assert!(first["pdus"][&topic.id]["error"].is_string(), "{first}");
    assert!(first["pdus"][&forged.id]["error"].is_string(), "{first}");
    for name in [&id, &fresh("other"), &fresh("other")] {
        let again = scene.transaction_as(EVIL, name, &body).await.ok();
        assert_eq!(again, first);
    }
    let twice = json!({"pdus": [pdus[0], pdus[0]], "edus": [message, message]});
    let told = scene.transaction(EVIL, &twice).await.ok();
    assert_eq!(told, json!({"pdus": {&good.id: {}}}));
    let seen = scene.seen().await;
    assert_eq!(seen.iter().filter(|id| **id == good.id).count(), 1);
    let sync = scene.anna.sync(None, "").await;
    let messages = sync["to_device"]["events"].as_array().map(Vec::len);
    assert_eq!(messages, Some(1), "{device}: {}", sync["to_device"]);
    scene.end("replayed transactions").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_transaction_is_refused() {
    let scene = Scene::open().await;
    let before = scene.seen().await;
    let events: Vec<_> = (0..51).map(|n| scene.eve.text(&format!("{n}"))).collect();
    let pdus: Vec<_> = events.iter().map(|made| made.json.clone()).collect();
    let edu = json!({"edu_type": "m.nothing", "content": {}});
    let edus = vec![edu; 101];
    for body in [json!({ "pdus": pdus }), json!({"pdus": [], "edus": edus})] {
        let answer = scene.transaction(EVIL, &body).await;
        answer.refused(400, "M_INVALID_PARAM");
    }
    for body in [
        json!({"pdus": {}}),
        json!({"pdus": 5}),
        json!({"pdus": [], "edus": "none"}),
        json!([]),
        json!("text"),
    ] {
        let answer = scene.transaction(EVIL, &body).await;
        assert_eq!(answer.status, 400, "{body}: {}", answer.body);
        assert_eq!(answer.body["errcode"], "M_BAD_JSON", "{body}");
    }
    let path = "/_matrix/federation/v1/send/unsigned";
    let headers = [(
        "authorization",
        "X-Matrix origin=\"evil.test\",key=\"ed25519:peer\",sig=\"AAAA\"",
    )];
    let body = b"{\"pdus\":[".to_vec();
    let answer = scene
        .anna
        .with_headers(Method::PUT, path, &headers, body)
        .await;
    assert!(matches!(answer.status, 400 | 401), "{}", answer.body);
    // A transaction that was meant for another server.
    let body = json!({ "pdus": [events[0].json] }).to_string();
    let answer = ask_as("nobody.test", &scene.anna, (Method::PUT, path), Some(&body)).await;
    answer.refused(401, "M_UNAUTHORIZED");
    assert_eq!(scene.seen().await, before);
    // The most that is allowed, all at once, and each is there.
    let mut eve = scene.eve.clone();
    let mut all = Vec::new();
    for number in 0..50 {
        let made = eve.text(&format!("line {number}"));
        eve.follow(&made);
        all.push(made);
    }
    // In any order.
    all.reverse();
    let told = scene.send(EVIL, &all.iter().collect::<Vec<_>>()).await;
    assert!(all.iter().all(|made| told[&made.id] == json!({})), "{told}");
    let seen = scene.seen().await;
    assert!(all.iter().all(|made| seen.contains(&made.id)));
    let edus = vec![json!({"edu_type": "m.nothing", "content": {}}); 100];
    let told = scene
        .transaction(EVIL, &json!({"pdus": [], "edus": edus}))
        .await;
    assert_eq!(told.ok(), json!({"pdus": {}}));
    scene.end("too much at once").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_forks_stay_usable() {
    let scene = Scene::open().await;
    let mut eve = scene.eve.clone();
    let mut sent = Vec::new();
    // A hundred events that know nothing of each other, some of which are state.
    for batch in 0..2 {
        let made: Vec<Made> = (0..50)
            .map(|number| {
                let name = format!("eve {batch} {number}");
                let own = json!({"type": "m.room.member", "state_key": eve.user_id, "content": {"membership": "join", "displayname": name}});
                if number % 10 == 0 { eve.event(own) } else { eve.text(&name) }
            })
            .collect();
        let told = scene.send(EVIL, &made.iter().collect::<Vec<_>>()).await;
        assert!(
            made.iter().all(|made| told[&made.id] == json!({})),
            "{told}"
        );
        sent.extend(made);
    }
    scene.others_are_served().await;
    let said = scene.anna.say(&scene.room_id, "after the forks").await;
    let ours = scene
        .peers
        .await_event(EVIL, |event| event["content"]["body"] == "after the forks")
        .await;
    let ends = ours["prev_events"].as_array().map_or(0, Vec::len);
    assert!((1..=20).contains(&ends), "{ends}");
    // What resolves them is one of them, for all who look.
    let path = format!("state/m.room.member/{}", encode(&eve.user_id));
    let name = scene.anna.look(&scene.room_id, &path).await.ok()["displayname"].clone();
    assert!(
        name.as_str().is_some_and(|name| name.starts_with("eve ")),
        "{name}"
    );
    eve.last = said;
    eve.depth = ours["depth"].as_i64().expect("a depth") + 1;
    let after = eve.text("one end again");
    Scene::assert_taken(&scene.send(EVIL, &[&after]).await, &after);
    let seen = scene.seen().await;
    assert!(sent.iter().all(|made| seen.contains(&made.id)));
    let unique: std::collections::BTreeSet<_> = seen.iter().collect();
    assert_eq!(unique.len(), seen.len());
    let state: Value = scene.anna.look(&scene.room_id, "state").await.ok();
    assert!(state.as_array().is_some_and(|state| state.len() > 5));
    scene.end("forks").await;
}

//! The dehydrated device.

use serde_json::{Value, json};

use super::crypto::{SigningKey, device_keys, query};
use crate::harness::{Client, TestServer};

const DEVICE: &str = "/_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device";

fn dehydrated(client: &Client, device_id: &str) -> Value {
    let mut client = client.clone();
    client.device_id = device_id.to_owned();
    let mut keys = device_keys(&client, &SigningKey::new());
    keys["dehydrated"] = true.into();
    json!({
        "device_id": device_id, "initial_device_display_name": "asleep", "device_keys": keys,
        "device_data": { "algorithm": "m.dehydration.v2", "device": device_id },
        "one_time_keys": { "signed_curve25519:A": { "key": "a" } },
        "fallback_keys": { "signed_curve25519:F": { "key": "f", "fallback": true } },
    })
}

async fn whisper(from: &Client, to: &Client, device_id: &str, numbers: std::ops::Range<u64>) {
    for number in numbers {
        let path = format!("/_matrix/client/v3/sendToDevice/m.test/{device_id}{number}");
        let body = json!({ "messages": { &to.user_id: { device_id: { "n": number } } } });
        from.put(&path, body).await.ok();
    }
}

fn numbers(answer: &Value) -> Vec<u64> {
    let events = answer["events"].as_array().expect("events");
    events
        .iter()
        .map(|event| event["content"]["n"].as_u64().expect("a number"))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_collects_keys_and_gives_them_again() {
    let mut server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    alice.get(DEVICE).await.refused(404, "M_NOT_FOUND");
    let mut incomplete = dehydrated(&alice, "ASLEEP");
    incomplete
        .as_object_mut()
        .expect("an object")
        .remove("device_keys");
    alice
        .put(DEVICE, incomplete)
        .await
        .refused(400, "M_MISSING_PARAM");
    let own = dehydrated(&alice, &alice.device_id);
    alice.put(DEVICE, own).await.refused(400, "M_INVALID_PARAM");
    let answer = alice.put(DEVICE, dehydrated(&alice, "ASLEEP")).await.ok();
    assert_eq!(answer, json!({ "device_id": "ASLEEP" }));
    let told = query(&bob, &[&alice.user_id]).await;
    let keys = &told["device_keys"][&alice.user_id]["ASLEEP"];
    assert_eq!(
        (
            &keys["dehydrated"],
            &keys["unsigned"]["device_display_name"]
        ),
        (&json!(true), &json!("asleep"))
    );
    let wish = json!({ "one_time_keys": { &alice.user_id: { "ASLEEP": "signed_curve25519" } } });
    for expected in ["signed_curve25519:A", "signed_curve25519:F"] {
        let answer = bob
            .post("/_matrix/client/v3/keys/claim", wish.clone())
            .await
            .ok();
        assert!(answer["one_time_keys"][&alice.user_id]["ASLEEP"][expected].is_object());
    }
    whisper(&bob, &alice, "ASLEEP", 0..130).await;
    server.restart();
    let alice = alice.at(server.base());
    let read = alice.get(DEVICE).await.ok();
    assert_eq!(read["device_data"]["device"], "ASLEEP");
    let events = format!("{DEVICE}/ASLEEP/events");
    for _ in 0..2 {
        let first = alice.post(&events, json!({})).await.ok();
        assert_eq!(numbers(&first), (0..100).collect::<Vec<_>>());
        let next = json!({ "next_batch": first["next_batch"] });
        let second = alice.post(&events, next).await.ok();
        assert_eq!(numbers(&second), (100..130).collect::<Vec<_>>());
        let next = second["next_batch"].as_str().expect("a token");
        let third = alice.get(&format!("{events}?next_batch={next}")).await.ok();
        assert_eq!(numbers(&third), Vec::<u64>::new());
    }
    alice
        .post(&events, json!({ "next_batch": "x" }))
        .await
        .refused(400, "M_INVALID_PARAM");
    let other = format!("{DEVICE}/{}/events", alice.device_id);
    alice
        .post(&other, json!({}))
        .await
        .refused(403, "M_FORBIDDEN");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_takes_its_place_and_it_can_be_removed() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    alice.put(DEVICE, dehydrated(&alice, "ONE")).await.ok();
    whisper(&bob, &alice, "ONE", 0..1).await;
    alice.put(DEVICE, dehydrated(&alice, "TWO")).await.ok();
    let told = query(&bob, &[&alice.user_id]).await;
    let devices = told["device_keys"][&alice.user_id]
        .as_object()
        .expect("devices");
    assert_eq!(devices.keys().collect::<Vec<_>>(), ["TWO"]);
    alice
        .post(&format!("{DEVICE}/ONE/events"), json!({}))
        .await
        .refused(403, "M_FORBIDDEN");
    let remove = || alice.request(reqwest::Method::DELETE, DEVICE, None);
    assert_eq!(remove().await.ok(), json!({ "device_id": "TWO" }));
    remove().await.refused(404, "M_NOT_FOUND");
    let told = query(&bob, &[&alice.user_id]).await;
    assert_eq!(told["device_keys"][&alice.user_id], json!({}));
}

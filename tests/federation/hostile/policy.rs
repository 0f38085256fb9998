//! A room with a policy server: what it does not recommend is not sent, and not shown.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use playhouse_actors::env::Signer;
use reqwest::Method;
use ruma::{
    CanonicalJsonObject, RoomVersionId,
    serde::{Base64, base64::Standard},
    signatures::sign_event,
};
use serde_json::{Value, json};

use super::{EVIL, GOOD, Scene, guest::Guest};
use crate::{
    client::stage::fresh,
    harness::{
        client::encode,
        made::Made,
        script::{Asked, Reply},
    },
};

fn signer() -> Signer {
    Signer::from_seed("policy_server", &[7; 32]).expect("a key")
}

fn public_key() -> String {
    Base64::<Standard>::new(signer().public_key().to_vec()).encode()
}

/// The signature that stands for a recommendation.
fn signature(event: &Value) -> Value {
    let mut object: CanonicalJsonObject =
        serde_json::from_value(event.clone()).expect("canonical JSON");
    let rules = RoomVersionId::V11.rules().expect("a known version");
    sign_event(GOOD, &signer(), &mut object, &rules.redaction).expect("it can be signed");
    let signed = serde_json::to_value(&object).expect("JSON");
    json!({GOOD: {"ed25519:policy_server": signed["signatures"][GOOD]["ed25519:policy_server"]}})
}

/// Recommends whatever does not speak of spam; counts how often it is asked.
fn recommending(scene: &Scene) -> Arc<AtomicUsize> {
    let count = Arc::new(AtomicUsize::new(0));
    let counter = count.clone();
    scene.peers.follow(move |asked: &Asked<'_>| {
        if asked.name != GOOD || asked.path != "/_matrix/policy/v1/sign" {
            return None;
        }
        counter.fetch_add(1, Ordering::Relaxed);
        let content = asked.body["content"].to_string();
        let refusal = json!({"errcode": "M_FORBIDDEN", "error": "this looks like spam"});
        Some(match content.as_str() {
            content if content.contains("spam") => Reply::Json(400, refusal),
            content if content.contains("forged") => Reply::Json(
                200,
                json!({GOOD: {"ed25519:policy_server": "A".repeat(86)}}),
            ),
            content if content.contains("silence") => Reply::Json(500, json!({})),
            _ => Reply::Json(200, signature(asked.body)),
        })
    });
    count
}

async fn name_policy_server(scene: &Scene, content: Value) {
    let named = scene
        .anna
        .set_state(&scene.room_id, "m.room.policy", "", content);
    named.await.ok();
}

fn policy() -> Value {
    json!({"via": GOOD, "public_keys": {"ed25519": public_key()}})
}

fn is_signed(event: &Value) -> bool {
    event["signatures"][GOOD]["ed25519:policy_server"].is_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_sent_as_the_policy_server_recommends() {
    let scene = Scene::open().await;
    let asked = recommending(&scene);
    let (anna, room_id) = (&scene.anna, &scene.room_id);
    anna.say(room_id, "before").await;
    name_policy_server(&scene, policy()).await;
    assert_eq!(asked.load(Ordering::Relaxed), 0);
    // The same transaction is one event.
    let path = format!(
        "/_matrix/client/v3/rooms/{}/send/m.room.message/{}",
        encode(room_id),
        fresh("txn")
    );
    let body = json!({"msgtype": "m.text", "body": "hello"});
    let first = anna.put(&path, body.clone()).await.ok();
    assert_eq!(anna.put(&path, body).await.ok(), first);
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    let is_hello = |event: &Value| event["content"]["body"] == "hello";
    let heard = scene.peers.await_event(EVIL, is_hello).await;
    assert!(is_signed(&heard), "{heard}");
    // What it says of others goes to the client as it is.
    let before = scene.seen().await;
    let spam = |body: &str| {
        let path = format!(
            "/_matrix/client/v3/rooms/{}/send/m.room.message/{}",
            encode(room_id),
            fresh("txn")
        );
        let body = json!({"msgtype": "m.text", "body": body});
        async move { anna.put(&path, body).await }
    };
    let refused = spam("spam").await.refused(403, "M_FORBIDDEN");
    assert_eq!(refused["error"], "this looks like spam");
    assert_eq!(spam("silence").await.status, 502);
    assert_eq!(spam("forged").await.status, 502);
    let topic = json!({"topic": "spam"});
    let refused = anna.set_state(room_id, "m.room.topic", "", topic).await;
    refused.refused(403, "M_FORBIDDEN");
    assert_eq!(scene.seen().await, before);
    // Redactions, states and members are no different.
    let hello = first["event_id"].as_str().expect("an event ID");
    anna.redact(room_id, hello).await;
    let redacted = anna
        .look(room_id, &format!("event/{}", encode(hello)))
        .await;
    assert_eq!(redacted.ok()["content"], json!({}));
    let bob = scene.server.register("bob").await;
    let spammy = json!({"reason": "spam"});
    let path = format!("/_matrix/client/v3/join/{}", encode(room_id));
    bob.post(&path, spammy).await.refused(403, "M_FORBIDDEN");
    bob.join(room_id).await;
    // Once nobody of it is in the room, or the room names none, nobody is asked.
    name_policy_server(&scene, json!({})).await;
    let count = asked.load(Ordering::Relaxed);
    anna.say(room_id, "spam").await;
    name_policy_server(
        &scene,
        json!({"via": "nobody.test", "public_keys": {"ed25519": public_key()}}),
    )
    .await;
    anna.say(room_id, "spam again").await;
    assert_eq!(asked.load(Ordering::Relaxed), count);
    scene.end("a policy server").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_others_are_shown_as_the_policy_server_recommends() {
    let mut scene = Scene::open().await;
    let asked = recommending(&scene);
    name_policy_server(&scene, policy()).await;
    let mut eve = scene.eve.clone();
    let said = |eve: &mut Guest, body: &str| {
        let made = eve.text(body);
        eve.follow(&made);
        made
    };
    // Those that follow on one that is not recommended are judged for themselves.
    let fine = said(&mut eve, "fine");
    let spam = eve.text("spam");
    let forged = eve.text("forged");
    let also = said(&mut eve, "also fine");
    let all = [&fine, &spam, &forged, &also];
    let told = scene.send(EVIL, &all).await;
    for made in all {
        Scene::assert_taken(&told, made);
    }
    assert_eq!(asked.load(Ordering::Relaxed), 4);
    let seen = scene.seen().await;
    let shown = |made: &Made| seen.contains(&made.id);
    assert!(shown(&fine) && shown(&also), "{seen:?}");
    assert!(!shown(&spam) && !shown(&forged), "{seen:?}");
    // Who has asked before need not be asked for.
    let mut signed = said(&mut eve, "signed");
    signed.json["signatures"][GOOD] = signature(&signed.json)[GOOD].clone();
    Scene::assert_taken(&scene.send(EVIL, &[&signed]).await, &signed);
    assert_eq!(asked.load(Ordering::Relaxed), 4);
    assert!(scene.seen().await.contains(&signed.id));
    // Somebody of its own comes in through this server.
    let path = format!("/_matrix/client/v3/rooms/{}/kick", encode(&scene.room_id));
    let body = json!({"user_id": "@gus:good.test"});
    scene
        .anna
        .request(Method::POST, &path, Some(body))
        .await
        .ok();
    let last = said(&mut eve, "spam after all");
    Scene::assert_taken(&scene.send(EVIL, &[&last]).await, &last);
    assert!(scene.seen().await.contains(&last.id));
    scene.gus = Guest::join(&scene.anna, &scene.room_id, "@gus:good.test").await;
    scene.end("a policy server that judges others").await;
}

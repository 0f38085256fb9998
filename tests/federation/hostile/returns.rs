//! A server that was down is sent what it missed as soon as it asks for anything, and one thing that it refuses does not keep the rest from it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use reqwest::Method;
use serde_json::json;

use super::{GOOD, PROMPTLY, Scene};
use crate::{
    client::stage::fresh,
    harness::{administrator, made::id_of, peer::ask_as, script::Reply},
};

/// Who fails is not tried again before a test is over.
const PATIENT: &[(&str, &str)] = &[
    ("PLAYHOUSE_FEDERATION_RETRY_WAIT_MS", "3600000"),
    ("PLAYHOUSE_FEDERATION_RETRY_WAIT_MAX_MS", "3600000"),
];

/// Who fails is tried again soon.
const HASTY: &[(&str, &str)] = &[
    ("PLAYHOUSE_FEDERATION_RETRY_WAIT_MS", "20"),
    ("PLAYHOUSE_FEDERATION_RETRY_WAIT_MAX_MS", "100"),
    ("PLAYHOUSE_FEDERATION_REFUSED_FOR_MS", "200"),
];

fn is_transaction(path: &str) -> bool {
    path.starts_with("/_matrix/federation/v1/send/")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_request_of_a_server_that_was_down_ends_the_waiting() {
    let scene = Scene::open_with(PATIENT).await;
    let room_id = &scene.room_id;
    // All that was sent for the joins has arrived.
    let hello = scene.anna.say(room_id, "hello").await;
    scene
        .peers
        .await_event(GOOD, |event| id_of(event) == hello)
        .await;
    let (is_up, tried) = (
        Arc::new(AtomicBool::new(false)),
        Arc::<AtomicUsize>::default(),
    );
    let (up, count) = (is_up.clone(), tried.clone());
    scene.peers.follow(move |asked| {
        if asked.name != GOOD || !is_transaction(asked.path) || up.load(Ordering::Relaxed) {
            return None;
        }
        count.fetch_add(1, Ordering::Relaxed);
        let down = json!({"errcode": "M_UNKNOWN", "error": "not now"});
        Some(Reply::Json(503, down))
    });
    let mut missed = vec![scene.anna.say(room_id, "missed").await];
    // That it fails is known, and so it waits.
    let path = format!("/_synapse/admin/v1/federation/destinations/{GOOD}");
    let boss = administrator(&scene.server.client(), "boss").await;
    let deadline = Instant::now() + PROMPTLY;
    while boss.get(&path).await.ok()["failure_ts"].is_null() {
        assert!(Instant::now() < deadline, "it never fails");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for _ in 0..60 {
        missed.push(scene.anna.say(room_id, &fresh("missed")).await);
    }
    let in_vain = tried.load(Ordering::Relaxed);
    assert!(in_vain > 0);
    is_up.store(true, Ordering::Relaxed);
    let path = "/_matrix/federation/v1/publicRooms";
    ask_as(GOOD, &scene.anna, (Method::GET, path), None).await;
    for id in &missed {
        scene
            .peers
            .await_event(GOOD, |event| id_of(event) == *id)
            .await;
    }
    assert_eq!(tried.load(Ordering::Relaxed), in_vain);
    scene.end("a server that was down").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_for_ever_is_given_up_and_the_rest_arrives() {
    let scene = Scene::open_with(HASTY).await;
    let room_id = &scene.room_id;
    scene.peers.follow(|asked| {
        let mut pdus = asked.body["pdus"].as_array().into_iter().flatten();
        let is_refused = asked.name == GOOD
            && is_transaction(asked.path)
            && pdus.any(|pdu| pdu["content"]["body"] == "poison");
        let refusal = json!({"errcode": "M_BAD_JSON", "error": "cannot read that"});
        is_refused.then(|| Reply::Json(400, refusal))
    });
    let poison = scene.anna.say(room_id, "poison").await;
    let mut said = Vec::new();
    for _ in 0..10 {
        said.push(scene.anna.say(room_id, &fresh("harmless")).await);
    }
    for id in &said {
        scene
            .peers
            .await_event(GOOD, |event| id_of(event) == *id)
            .await;
    }
    assert!(!scene.peers.was_sent(GOOD, |event| id_of(event) == poison));
    scene.end("a server that refuses one event").await;
}

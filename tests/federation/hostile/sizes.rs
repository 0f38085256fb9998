//! A server that takes only small transactions gets everything all the same, but for what is too large for it by itself.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use serde_json::json;

use super::{GOOD, Scene};
use crate::harness::{made::id_of, script::Reply};

/// So many bytes it takes.
const TAKEN_BYTES_MAX: usize = 30_000;

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_little_gets_it_in_pieces() {
    let scene = Scene::open().await;
    let room_id = &scene.room_id;
    let is_up = Arc::new(AtomicBool::new(false));
    let up = is_up.clone();
    scene.peers.follow(move |asked| {
        if asked.name != GOOD || !asked.path.contains("/v1/send/") {
            return None;
        }
        if !up.load(Ordering::Relaxed) {
            let down = json!({"errcode": "M_UNKNOWN", "error": "not now"});
            return Some(Reply::Json(503, down));
        }
        let too_large = json!({"errcode": "M_TOO_LARGE", "error": "too much"});
        let bytes = asked.body.to_string().len();
        (bytes > TAKEN_BYTES_MAX).then(|| Reply::Json(413, too_large))
    });
    let large = scene.anna.say(room_id, &"x".repeat(50_000)).await;
    let mut said = Vec::new();
    for _ in 0..10 {
        said.push(scene.anna.say(room_id, &"y".repeat(10_000)).await);
    }
    is_up.store(true, Ordering::Relaxed);
    for id in &said {
        scene
            .peers
            .await_event(GOOD, |event| id_of(event) == *id)
            .await;
    }
    let received = scene.peers.received(GOOD);
    assert!(received.iter().all(|event| id_of(event) != large));
    // Who does not even take what is small is out of order, and tried again.
    let is_in_order = Arc::new(AtomicBool::new(false));
    let in_order = is_in_order.clone();
    scene.peers.follow(move |asked| {
        let is_refused = asked.name == GOOD
            && asked.path.contains("/v1/send/")
            && !in_order.swap(true, Ordering::Relaxed);
        is_refused.then(|| Reply::Json(413, json!({})))
    });
    let small = scene.anna.say(room_id, "small").await;
    scene
        .peers
        .await_event(GOOD, |event| id_of(event) == small)
        .await;
    assert!(is_in_order.load(Ordering::Relaxed));
    scene.end("a server that takes little").await;
}

//! Bodies that never end, come drop by drop, or are not what they say.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{EVIL, Scene};
use crate::harness::{made::Made, only_alone, script::Reply};

/// Settings that let the patience end soon.
const HASTY: &[(&str, &str)] = &[("PLAYHOUSE_LIMITS_BODY_TIMEOUT_MS", "10000")];

/// An event that rests on one that must be asked for.
fn resting(scene: &Scene) -> Made {
    let unknown = "$unknownAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    scene.eve.event(json!({"prev_events": [&unknown[..44]]}))
}

#[tokio::test(flavor = "multi_thread")]
async fn dripping_requests_are_cut_off() {
    if only_alone("a balancer takes requests apart before a node sees them") {
        return;
    }
    let scene = Scene::open_with(HASTY).await;
    let address = scene.server.base().trim_start_matches("http://").to_owned();
    let head = "PUT /_matrix/federation/v1/send/drip HTTP/1.1\r\nHost: playhouse.test\r\n\
                Authorization: X-Matrix origin=\"evil.test\",key=\"ed25519:peer\",sig=\"AAAA\",destination=\"playhouse.test\"\r\n\
                Content-Type: application/json\r\nContent-Length: 100000\r\n\r\n{";
    let done = Arc::new(AtomicBool::new(false));
    let mut drips = Vec::new();
    for _ in 0..100 {
        let (address, done) = (address.clone(), done.clone());
        drips.push(tokio::spawn(async move {
            let mut stream = TcpStream::connect(address).await.expect("a connection");
            stream
                .write_all(head.as_bytes())
                .await
                .expect("the head is taken");
            let (mut reader, mut writer) = stream.split();
            let drip = async {
                while writer.write_all(b" ").await.is_ok() && !done.load(Ordering::Relaxed) {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            };
            let mut said = Vec::new();
            tokio::select! {
                read = reader.read_to_end(&mut said) => drop(read),
                () = drip => {}
            }
            String::from_utf8_lossy(&said).into_owned()
        }));
    }
    scene.others_are_served().await;
    let started = Instant::now();
    for drip in drips {
        let said = drip.await.expect("it ends");
        assert!(said.is_empty() || said.contains(" 408 "), "{said}");
    }
    assert!(started.elapsed() < Duration::from_secs(120));
    done.store(true, Ordering::Relaxed);
    scene.end("dripping requests").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_too_large_or_nonsense_are_dropped() {
    let scene = Scene::open().await;
    type Answer = fn() -> Reply;
    let answers: [(&str, Answer); 6] = [
        ("announced", || Reply::Announced(1 << 40)),
        ("html", || {
            Reply::Bytes("text/html", b"<html>sorry</html>".to_vec())
        }),
        ("bytes", || {
            Reply::Bytes("application/octet-stream", vec![0xff; 100_000])
        }),
        ("empty", || Reply::Bytes("application/json", Vec::new())),
        ("error", || {
            Reply::Json(500, json!({"errcode": 5, "error": ["x".repeat(100_000)]}))
        }),
        ("deep", || {
            Reply::Bytes("application/json", vec![b'['; 1 << 20])
        }),
    ];
    for (what, answer) in answers {
        scene.peers.follow(move |asked| {
            let is_question = asked.name == EVIL && !asked.path.contains("/send/");
            (is_question && asked.path.contains("/federation/")).then(answer)
        });
        let made = resting(&scene);
        let (told, ()) = tokio::join!(scene.send(EVIL, &[&made]), scene.others_are_served());
        assert!(told[&made.id]["error"].is_string(), "{what}: {told}");
    }
    scene.end("answers that are none").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_never_answers_holds_up_only_itself() {
    let scene = Scene::open().await;
    type Answer = fn() -> Reply;
    let answers: [Answer; 3] = [|| Reply::Silence, || Reply::Drip, || Reply::Endless];
    for answer in answers {
        scene.peers.follow(move |asked| {
            (asked.name == EVIL && asked.path.contains("/federation/")).then(answer)
        });
        let made: Vec<_> = (0..4).map(|_| resting(&scene)).collect();
        // Nobody waits for these: whoever serves them is asked for patience.
        let body = json!({"pdus": [made[0].json]});
        let waiting = async {
            let all = made.iter().map(|_| scene.transaction(EVIL, &body));
            futures_util::future::join_all(all).await
        };
        tokio::select! {
            _ = waiting => {}
            () = served_often(&scene) => {}
        }
        let held = scene.server.resident_bytes();
        let gain = held.saturating_sub(scene.held_before);
        assert!(gain < super::GAIN_BYTES_MAX, "{gain} bytes more are held");
    }
    scene.peers.follow(|_| None);
    scene.end("answers that never end").await;
}

async fn served_often(scene: &Scene) {
    for _ in 0..5 {
        scene.others_are_served().await;
    }
}

//! One of the two dies, or is restarted, in the middle of a conversation.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use reqwest::Method;
use serde_json::json;

use super::{Pair, encode, eventually, same_state, sees, shared_room, timeline};
use crate::{
    client::{props::text, stage::fresh},
    harness::Client,
};

/// So much is said by each while one of them dies.
const LINES: usize = 20;

/// A server that was ended has started again and takes a line in.
const SAID_WITHIN: Duration = Duration::from_secs(120);

/// Says something, again and again until the server has it; it is said once.
async fn insist(client: &Client, room_id: &str, line: usize) -> String {
    let path = format!(
        "/_matrix/client/v3/rooms/{}/send/m.room.message/{}",
        encode(room_id),
        fresh("insist")
    );
    let body = json!({"msgtype": "m.text", "body": format!("line {line}")});
    let begun = Instant::now();
    loop {
        let answer = client.try_request(Method::PUT, &path, Some(body.clone()));
        match answer.await {
            Ok(answer) if answer.status == 200 => return text(&answer.body["event_id"]),
            answer => assert!(begun.elapsed() < SAID_WITHIN, "line {line}: {answer:?}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn converse(client: &Client, room_id: &str) -> Vec<String> {
    let mut said = Vec::new();
    for line in 0..LINES {
        said.push(insist(client, room_id, line).await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    said
}

/// Waits until both have the same events, each once.
async fn same_events(one: &Client, other: &Client, room_id: &str) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    eventually("events differ", async || {
        let (one, other) = (timeline(one, room_id).await, timeline(other, room_id).await);
        let sets = [&one, &other].map(|ids| ids.iter().cloned().collect::<BTreeSet<_>>());
        assert_eq!(sets[0].len(), one.len(), "twice: {one:?}");
        assert_eq!(sets[1].len(), other.len(), "twice: {other:?}");
        let [left, right] = sets;
        if left == right {
            all = left;
            return Ok(());
        }
        let only = |a: &BTreeSet<String>, b: &BTreeSet<String>| format!("{:?}", a - b);
        Err(format!(
            "{}, but {}",
            only(&left, &right),
            only(&right, &left)
        ))
    })
    .await;
    all
}

/// Ends one of the two and starts it again.
async fn disturb(pair: &mut Pair, is_ours: bool, is_killed: bool) {
    tokio::time::sleep(Duration::from_millis(rand::random_range(100..600))).await;
    match (is_ours, is_killed) {
        (true, true) => pair.playhouse.kill(),
        (true, false) => pair.playhouse.stop(),
        (false, true) => pair.synapse.kill(),
        (false, false) => pair.synapse.stop(),
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    if is_ours {
        pair.playhouse.start_again();
    } else {
        pair.synapse.start_again().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_dies_and_is_restarted_in_the_middle() {
    let mut pair = Pair::start().await;
    let (ours, theirs) = pair.users().await;
    let rooms = [
        shared_room(&ours, &theirs, json!({})).await,
        shared_room(&theirs, &ours, json!({})).await,
    ];
    for room_id in &rooms {
        same_state(&ours, &theirs, room_id).await;
    }
    let mut number = 0;
    for is_killed in [true, false] {
        for is_ours in [true, false] {
            let room_id = &rooms[number % 2];
            number += 1;
            let (one, other, ()) = tokio::join!(
                converse(&ours, room_id),
                converse(&theirs, room_id),
                disturb(&mut pair, is_ours, is_killed)
            );
            sees(&theirs, room_id, one.last().expect("lines")).await;
            sees(&ours, room_id, other.last().expect("lines")).await;
            let all = same_events(&ours, &theirs, room_id).await;
            assert!(one.iter().chain(&other).all(|line| all.contains(line)));
            same_state(&ours, &theirs, room_id).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_to_the_dead_arrives() {
    let mut pair = Pair::start().await;
    let (ours, theirs) = pair.users().await;
    let room_id = shared_room(&ours, &theirs, json!({})).await;
    // A Synapse that has lost its way in while it fetched the state tries again only when it is restarted.
    same_state(&ours, &theirs, &room_id).await;
    for is_ours in [true, false] {
        let speaker = if is_ours {
            pair.playhouse.kill();
            &theirs
        } else {
            pair.synapse.kill();
            &ours
        };
        for line in 0..70 {
            insist(speaker, &room_id, line).await;
        }
        let last = insist(speaker, &room_id, 70).await;
        let reader = if is_ours {
            pair.playhouse.start_again();
            &ours
        } else {
            pair.synapse.start_again().await;
            &theirs
        };
        sees(reader, &room_id, &last).await;
        super::agree(&ours, &theirs, &room_id).await;
    }
}

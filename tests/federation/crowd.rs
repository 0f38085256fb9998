//! Joining a room in which many others are.
//!
//! 60 others, as unoptimised every signature takes some 20 ms, and 5 servers that die meanwhile; `PLAYHOUSE_TEST_CROWD_MEMBERS` and
//! `PLAYHOUSE_TEST_CROWD_KILLS` ask for more. What it took is printed, never judged: how fast a machine is says nothing about the program.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{
    Client, TestServer, Town,
    client::encode,
    crowd::{CROWD, Crowd, ROOM},
};

const OURS: &str = "ours.test";

/// So many messages tell how fast another room is.
const MESSAGES: usize = 100;

#[expect(
    clippy::disallowed_methods,
    reason = "the test program has no configuration of its own"
)]
fn setting(name: &str) -> Option<usize> {
    std::env::var(name).ok()?.parse().ok()
}

fn members() -> usize {
    setting("PLAYHOUSE_TEST_CROWD_MEMBERS").unwrap_or(60)
}

fn join_path() -> String {
    format!(
        "/_matrix/client/v3/join/{}?server_name={CROWD}&via={CROWD}",
        encode(ROOM)
    )
}

/// Joins, however long it takes; answers whether the server lived to tell.
async fn join(client: &Client) -> bool {
    let path = join_path();
    for _ in 0..20 {
        let asked = client.try_request(reqwest::Method::POST, &path, Some(json!({})));
        match asked.await {
            Ok(answer) => {
                assert_eq!(answer.ok()["room_id"], ROOM);
                return true;
            }
            Err(error) if error.is_timeout() => {}
            Err(_) => return false,
        }
    }
    false
}

async fn is_joined(client: &Client) -> bool {
    let joined = client.get("/_matrix/client/v3/joined_rooms").await.ok();
    let rooms = joined["joined_rooms"].as_array().cloned();
    rooms.unwrap_or_default().contains(&Value::from(ROOM))
}

/// The room is whole: everybody is in it, and there is talk.
async fn is_whole(client: &Client) {
    let path = format!("/_matrix/client/v3/rooms/{}/joined_members", encode(ROOM));
    let joined = client.get(&path).await.ok();
    let joined = joined["joined"].as_object().map(serde_json::Map::len);
    // The creator and the joiner come on top.
    assert_eq!(joined, Some(members() + 2));
    let said = client.say(ROOM, "hello").await;
    let is_shown = |answer: &Value| {
        let timeline = &answer["rooms"]["join"][ROOM]["timeline"]["events"];
        let mut events = timeline.as_array().into_iter().flatten();
        events.any(|event| event["event_id"] == said.as_str())
    };
    client.sync_anew_until("", is_shown).await;
}

/// How long messages in a room take, sorted.
async fn speak(client: &Client, room_id: &str, is_over: impl Fn(usize) -> bool) -> Vec<Duration> {
    let mut times = Vec::new();
    while !is_over(times.len()) {
        let begun = Instant::now();
        client.say(room_id, "tick").await;
        times.push(begun.elapsed());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    times.sort();
    times
}

fn p99(times: &[Duration]) -> Duration {
    times[(times.len() * 99 / 100).min(times.len() - 1)]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_room_is_joined_while_others_talk() {
    let town = Town::new(&[OURS, CROWD]);
    let crowd = Crowd::gather(&town, members()).await;
    let ours = town.open(OURS, &[]).await;
    let (anna, bert) = (ours.register("anna").await, ours.register("bert").await);
    let other = bert.create_room(json!({"preset": "private_chat"})).await;
    let quiet = speak(&bert, &other, |count| count >= MESSAGES).await;
    let (idle_bytes, begun) = (ours.peak_bytes(), Instant::now());
    let joining = tokio::spawn({
        let anna = anna.clone();
        async move { join(&anna).await }
    });
    let busy = speak(&bert, &other, |count| joining.is_finished() && count >= 10).await;
    assert!(joining.await.expect("it does not panic"));
    let joined = begun.elapsed();
    is_whole(&anna).await;
    println!(
        "{} members: joined after {joined:?}, first message shown after {:?}, memory peak {} MiB (before: {} MiB), others' p99 {:?} before and {:?} \
         meanwhile ({} messages), keys asked {} times",
        members(),
        begun.elapsed(),
        ours.peak_bytes() >> 20,
        idle_bytes >> 20,
        p99(&quiet),
        p99(&busy),
        busy.len(),
        crowd.key_requests(),
    );
    assert!(crowd.key_requests() <= 2, "{}", crowd.key_requests());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_join_that_is_cut_short_is_done_or_undone() {
    let town = Town::new(&[OURS, CROWD]);
    let _crowd = Crowd::gather(&town, members()).await;
    let kills = setting("PLAYHOUSE_TEST_CROWD_KILLS").unwrap_or(5);
    let whole_ms = {
        let ours = town.open(OURS, &[]).await;
        let anna = ours.register("anna").await;
        let begun = Instant::now();
        assert!(join(&anna).await);
        u64::try_from(begun.elapsed().as_millis()).expect("it does not take ages")
    };
    let mut done = 0;
    for kill in 0..kills {
        let mut ours = town.open(OURS, &[]).await;
        let anna = ours.register("anna").await;
        // From early to late in what a join takes.
        let wait = whole_ms * (2 * kill as u64 + 1) / (2 * kills as u64);
        let joining = tokio::spawn({
            let anna = anna.clone();
            async move { join(&anna).await }
        });
        tokio::time::sleep(Duration::from_millis(wait)).await;
        ours.kill();
        joining.await.expect("it does not panic");
        done += usize::from(after_the_kill(&mut ours, &anna).await);
    }
    println!("{done} of {kills} joins were done when the server was killed");
}

/// The user is in the room or is not; then a new attempt brings them in.
async fn after_the_kill(ours: &mut TestServer, anna: &Client) -> bool {
    ours.start_again();
    let anna = anna.at(ours.base());
    let was_done = is_joined(&anna).await;
    if !was_done {
        let synced = anna.sync(None, "").await;
        assert!(synced["rooms"]["join"][ROOM].is_null(), "{synced}");
        assert!(join(&anna).await);
    }
    is_whole(&anna).await;
    was_done
}

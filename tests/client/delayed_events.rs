//! Events that are sent later (MSC4140).

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{
    props::text,
    stage::{Stage, on_each_engine, on_own_servers},
};
use crate::harness::{Client, TestServer, client::encode};

const LIST: &str = "/_matrix/client/unstable/org.matrix.msc4140/delayed_events";
const DELAY: &str = "org.matrix.msc4140.delay";
const TYPE: &str = "org.example.member";

/// What ends while a test looks on is delayed for so long, milliseconds: on a machine that is too slow for the first, the test is played again with the next.
const DELAYS_MS: [u64; 3] = [5_000, 20_000, 80_000];

fn message(room_id: &str, transaction: &str, delay: &str) -> String {
    let room_id = encode(room_id);
    format!("/_matrix/client/v3/rooms/{room_id}/send/{TYPE}/{transaction}?{DELAY}={delay}")
}

fn state(room_id: &str, state_key: &str, delay: &str) -> String {
    let (room_id, state_key) = (encode(room_id), encode(state_key));
    format!("/_matrix/client/v3/rooms/{room_id}/state/{TYPE}/{state_key}?{DELAY}={delay}")
}

async fn later(client: &Client, path: &str, content: Value) -> String {
    text(&client.put(path, content).await.ok()["delay_id"])
}

async fn act(client: &Client, delay_id: &str, action: &str) -> crate::harness::client::Answer {
    let path = format!("{LIST}/{delay_id}/{action}");
    client.nobody().post(&path, json!({})).await
}

fn is_over(begun: Instant, delay_ms: u64) -> bool {
    begun.elapsed() >= Duration::from_millis(delay_ms)
}

/// What is scheduled now.
async fn waiting(client: &Client) -> Vec<Value> {
    let list = client.get(LIST).await.ok();
    list["delayed_events"].as_array().expect("a list").clone()
}

/// Waits until so many are scheduled.
async fn scheduled(client: &Client, count: usize) -> Vec<Value> {
    for _ in 0..4_800 {
        let list = waiting(client).await;
        if list.len() == count {
            return list;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("never {count} delayed events");
}

async fn content(client: &Client, room_id: &str, state_key: &str) -> Option<Value> {
    let path = format!(
        "/_matrix/client/v3/rooms/{}/state/{TYPE}/{}",
        encode(room_id),
        encode(state_key)
    );
    let answer = client.get(&path).await;
    (answer.status == 200).then_some(answer.body)
}

async fn bodies(client: &Client, room_id: &str) -> Vec<Value> {
    let history = client.history(room_id).await;
    let ours = history.into_iter().filter(|event| event["type"] == TYPE);
    ours.map(|event| event["content"].clone()).collect()
}

/// A room in which everybody may set the state.
async fn room(anna: &Client) -> String {
    let levels = json!({"events": {TYPE: 0}});
    anna.create_room(json!({"preset": "public_chat", "power_level_content_override": levels}))
        .await
}

/// Whether the machine was fast enough to see them wait.
async fn messages_are_sent(stage: &Stage, delay_ms: u64) -> bool {
    let [anna, bert] = stage.users(["anna", "bert"]).await;
    let room_id = room(&anna).await;
    let mut names = Vec::new();
    let begun = Instant::now();
    for (index, later_ms) in [0, 300, 600].into_iter().enumerate() {
        let delay = (delay_ms + later_ms).to_string();
        let path = message(&room_id, &format!("t{index}"), &delay);
        let delay_id = later(&anna, &path, json!({"count": index})).await;
        // A repeat needs no content.
        let again = anna.request(reqwest::Method::PUT, &path, None).await.ok();
        assert_eq!(text(&again["delay_id"]), delay_id);
        names.push(delay_id);
    }
    let list = waiting(&anna).await;
    if list.len() < 3 && is_over(begun, delay_ms) {
        return false;
    }
    assert_eq!(list.len(), 3, "{list:?}");
    assert_eq!(list[0]["delay_id"], names[0]);
    assert_eq!(list[0]["content"], json!({"count": 0}));
    assert_eq!(
        (&list[0]["delay"], &list[0]["type"]),
        (&json!(delay_ms), &json!(TYPE))
    );
    assert!(list[0]["running_since"].is_u64() && list[0].get("state_key").is_none());
    scheduled(&bert, 0).await;
    scheduled(&anna, 0).await;
    let wanted = [
        json!({"count": 0}),
        json!({"count": 1}),
        json!({"count": 2}),
    ];
    assert_eq!(bodies(&anna, &room_id).await, wanted);
    let ended = anna.get(&format!("{LIST}/{}", names[1])).await.ok();
    assert!(
        ended["event_id"].is_string() && ended["finalised_ts"].is_u64(),
        "{ended}"
    );
    bert.get(&format!("{LIST}/{}", names[1]))
        .await
        .refused(404, "M_NOT_FOUND");
    let all = anna.get(LIST).await.ok();
    assert_eq!(all["finalised"].as_array().map(Vec::len), Some(3));
    let ended = anna.get(&format!("{LIST}?status=finalised")).await.ok();
    assert_eq!(ended["delayed_events"][0]["delay_id"], names[2]);
    // What was asked for once is not sent again.
    let again = anna
        .put(&message(&room_id, "t0", "5000"), json!({}))
        .await
        .ok();
    assert_eq!(text(&again["delay_id"]), names[0]);
    true
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_sent_when_their_time_has_come() {
    on_each_engine(async |stage| {
        for delay_ms in DELAYS_MS {
            if messages_are_sent(stage, delay_ms).await {
                return;
            }
        }
        panic!("nobody ever saw them wait");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn state_waits_and_can_be_managed_by_whoever_knows_its_name() {
    on_each_engine(async |stage| {
        let anna = stage.user("anna").await;
        let room_id = room(&anna).await;
        let cancelled = later(&anna, &state(&room_id, "a", "600000"), json!({"n": 1})).await;
        let sent = later(&anna, &state(&room_id, "b", "600000"), json!({"n": 2})).await;
        assert!(
            scheduled(&anna, 2)
                .await
                .iter()
                .any(|event| event["state_key"] == "a")
        );
        act(&anna, &cancelled, "cancel").await.ok();
        act(&anna, &sent, "send").await.ok();
        assert_eq!(content(&anna, &room_id, "b").await, Some(json!({"n": 2})));
        let mut delays = DELAYS_MS.into_iter();
        let (delay_ms, anew) = loop {
            let delay_ms = delays.next().expect("it is begun anew in time");
            let begun = Instant::now();
            let path = state(&room_id, "", &delay_ms.to_string());
            let restarted = later(&anna, &path, json!({"n": 3})).await;
            // Without beginning anew it would be sent so much earlier.
            tokio::time::sleep(Duration::from_secs(1)).await;
            let anew = Instant::now();
            let answer = act(&anna, &restarted, "restart").await;
            if answer.status == 200 || !is_over(begun, delay_ms) {
                answer.ok();
                break (delay_ms, anew);
            }
        };
        scheduled(&anna, 0).await;
        assert!(is_over(anew, delay_ms), "it began anew");
        assert_eq!(content(&anna, &room_id, "").await, Some(json!({"n": 3})));
        assert_eq!(content(&anna, &room_id, "a").await, None);
        // Repeats succeed, what contradicts the outcome does not.
        act(&anna, &cancelled, "cancel").await.ok();
        act(&anna, &sent, "send").await.ok();
        act(&anna, &cancelled, "send")
            .await
            .refused(409, "M_UNKNOWN");
        act(&anna, &cancelled, "restart")
            .await
            .refused(409, "M_UNKNOWN");
        act(&anna, &sent, "cancel").await.refused(409, "M_UNKNOWN");
        act(&anna, "abc", "cancel")
            .await
            .refused(404, "M_NOT_FOUND");
        act(&anna, &sent, "oops")
            .await
            .refused(404, "M_UNRECOGNIZED");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_action_may_stand_in_the_body() {
    on_each_engine(async |stage| {
        let anna = stage.user("anna").await;
        let room_id = room(&anna).await;
        let delay_id = later(&anna, &state(&room_id, "", "600000"), json!({})).await;
        let path = format!("{LIST}/{delay_id}");
        anna.post(&path, json!({}))
            .await
            .refused(400, "M_MISSING_PARAM");
        anna.post(&path, json!({"action": "oops"}))
            .await
            .refused(400, "M_INVALID_PARAM");
        anna.nobody()
            .post(&path, json!({"action": "send"}))
            .await
            .ok();
        assert_eq!(content(&anna, &room_id, "").await, Some(json!({})));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_form_has_everything_in_the_body() {
    on_each_engine(async |stage| {
        let anna = stage.user("anna").await;
        let room_id = room(&anna).await;
        let path = |transaction: &str| {
            let room_id = encode(&room_id);
            format!("/_matrix/client/unstable/org.matrix.msc4140/rooms/{room_id}/delayed_event/{TYPE}/{transaction}")
        };
        let body = json!({"delay": 50, "state_key": "k", "content": {"a": 1}});
        later(&anna, &path("1"), body).await;
        let body = json!({"delay_ms": 50, "content": {"a": 2}});
        later(&anna, &path("2"), body).await;
        scheduled(&anna, 0).await;
        assert_eq!(content(&anna, &room_id, "k").await, Some(json!({"a": 1})));
        assert!(bodies(&anna, &room_id).await.contains(&json!({"a": 2})));
        for body in [json!({"content": {}}), json!({"delay": 5})] {
            anna.put(&path("3"), body).await.refused(400, "M_MISSING_PARAM");
        }
        let versions = anna.get("/_matrix/client/versions").await.ok();
        assert_eq!(versions["unstable_features"]["org.matrix.msc4140"], true);
    })
    .await;
}

/// Whether the machine was fast enough to see it overtaken.
async fn others_overtake(stage: &Stage, delay_ms: u64) -> bool {
    let [anna, bert] = stage.users(["anna", "bert"]).await;
    let room_id = room(&anna).await;
    bert.join(&room_id).await;
    let (begun, delay) = (Instant::now(), delay_ms.to_string());
    let own = later(
        &anna,
        &state(&room_id, "own", &delay),
        json!({"by": "delay"}),
    )
    .await;
    let other = later(
        &anna,
        &state(&room_id, "other", &delay),
        json!({"by": "delay"}),
    )
    .await;
    let set = json!({"by": "hand"});
    anna.set_state(&room_id, TYPE, "own", set.clone())
        .await
        .ok();
    bert.set_state(&room_id, TYPE, "other", set.clone())
        .await
        .ok();
    // Only one's own waits on, and that not for ever.
    while !is_over(begun, delay_ms) && waiting(&anna).await.len() > 1 {
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    let left = waiting(&anna).await.len();
    if is_over(begun, delay_ms) {
        return false;
    }
    assert_eq!(left, 1);
    let ended = anna.get(&format!("{LIST}/{other}")).await.ok();
    assert!(
        ended["error"].is_object() && ended.get("event_id").is_none(),
        "{ended}"
    );
    scheduled(&anna, 0).await;
    assert_eq!(
        content(&anna, &room_id, "own").await,
        Some(json!({"by": "delay"}))
    );
    assert_eq!(content(&anna, &room_id, "other").await, Some(set));
    let ended = anna.get(&format!("{LIST}/{own}")).await.ok();
    assert!(ended["event_id"].is_string());
    true
}

#[tokio::test(flavor = "multi_thread")]
async fn the_state_of_others_overtakes_and_ones_own_does_not() {
    on_each_engine(async |stage| {
        for delay_ms in DELAYS_MS {
            if others_overtake(stage, delay_ms).await {
                return;
            }
        }
        panic!("nobody ever saw it overtaken");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_sent_is_refused_when_the_time_has_come() {
    on_each_engine(async |stage| {
        let [anna, bert] = stage.users(["anna", "bert"]).await;
        let room_id = anna.create_room(json!({"preset": "public_chat"})).await;
        let path = state(&room_id, "", "600000");
        bert.put(&path, json!({})).await.refused(403, "M_FORBIDDEN");
        bert.join(&room_id).await;
        let delay_id = later(&bert, &path, json!({})).await;
        act(&bert, &delay_id, "send")
            .await
            .refused(403, "M_FORBIDDEN");
        let ended = bert.get(&format!("{LIST}/{delay_id}")).await.ok();
        assert_eq!(ended["error"]["errcode"], "M_FORBIDDEN");
        act(&bert, &delay_id, "cancel").await.ok();
        let list = anna.put(&state(&room_id, "", "5"), json!([1])).await;
        list.refused(400, "M_BAD_JSON");
        for delay in ["-1", "x", ""] {
            let answer = anna.put(&state(&room_id, "", delay), json!({})).await;
            answer.refused(400, "M_INVALID_PARAM");
        }
        let year = anna
            .put(&state(&room_id, "", "31536000000"), json!({}))
            .await;
        let told = year.refused(400, "M_UNKNOWN");
        assert_eq!(told["org.matrix.msc4140.errcode"], "M_MAX_DELAY_EXCEEDED");
        assert_eq!(told["org.matrix.msc4140.max_delay"], 86_400_000);
    })
    .await;
}

/// Whether the machine was fast enough to schedule too many.
async fn restart_and_bound(server: &mut TestServer, delay_ms: u64) -> bool {
    let anna = server.register(&format!("anna{delay_ms}")).await;
    let room_id = room(&anna).await;
    let (first, delay) = (Instant::now(), delay_ms.to_string());
    later(&anna, &state(&room_id, "1", &delay), json!({})).await;
    later(&anna, &message(&room_id, "t", &delay), json!({"n": 1})).await;
    let begun = Instant::now();
    later(&anna, &state(&room_id, "2", "600000"), json!({})).await;
    let told = anna.put(&state(&room_id, "3", "600000"), json!({})).await;
    if told.status == 200 && is_over(first, delay_ms) {
        return false;
    }
    let told = told.refused(400, "M_UNKNOWN");
    assert_eq!(
        told["org.matrix.msc4140.errcode"],
        "M_MAX_DELAYED_EVENTS_EXCEEDED"
    );
    server.stop();
    let left = Duration::from_millis(delay_ms).saturating_sub(begun.elapsed());
    tokio::time::sleep(left).await;
    server.start_again();
    let anna = anna.at(server.base());
    // Nobody is asked for anything: what was due is sent all the same.
    let left = scheduled(&anna, 1).await;
    assert_eq!(left[0]["state_key"], "2");
    assert_eq!(content(&anna, &room_id, "1").await, Some(json!({})));
    assert_eq!(bodies(&anna, &room_id).await, [json!({}), json!({"n": 1})]);
    act(&anna, &text(&left[0]["delay_id"]), "send").await.ok();
    scheduled(&anna, 0).await;
    true
}

#[tokio::test(flavor = "multi_thread")]
async fn restarts_and_bounds() {
    let settings = [("PLAYHOUSE_DELAYED_EVENTS_PER_USER_MAX", "3")];
    on_own_servers(&settings, async |server| {
        for delay_ms in DELAYS_MS {
            if restart_and_bound(server, delay_ms).await {
                return;
            }
        }
        panic!("there were never too many");
    })
    .await;
}

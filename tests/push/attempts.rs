//! When gateways are asked again, and what the operator may set.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::pushers::{on_servers, pair, shown};
use crate::{
    client::stage::{fresh, on_own_servers},
    harness::{
        PushGateway, administrator,
        gateway::{Arrived, Manner},
    },
};

/// What is known of a pusher is kept within this time.
const KEPT_WITHIN: Duration = Duration::from_secs(120);

/// The waits between attempts.
fn waits(arrived: &[Arrived]) -> Vec<Duration> {
    let pairs = arrived.windows(2);
    pairs
        .map(|pair| pair[1].at.duration_since(pair[0].at))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_led_elsewhere() {
    on_servers(async |server, gateway| {
        let elsewhere = PushGateway::start().await;
        let pair = pair(server, gateway, json!({})).await;
        gateway.set(Manner::Redirects(elsewhere.url()));
        let event_id = pair.bert.say(&pair.room_id, "hello").await;
        gateway.until(&pair.key, |all| all.len() >= 2).await;
        assert!(elsewhere.attempts(&pair.key).is_empty());
        gateway.set(Manner::Refuses(500));
        let tried = gateway.attempts(&pair.key).len();
        gateway.until(&pair.key, |all| all.len() > tried).await;
        gateway.set(Manner::Takes);
        gateway.pushed(&pair.key, &event_id).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_gateway_is_left_alone() {
    on_servers(async |server, gateway| {
        let pair = pair(server, gateway, json!({})).await;
        gateway.set(Manner::Busy(2));
        let event_id = pair.bert.say(&pair.room_id, "hello").await;
        gateway.until(&pair.key, |all| !all.is_empty()).await;
        gateway.set(Manner::Takes);
        gateway.pushed(&pair.key, &event_id).await;
        let arrived = gateway.attempts(&pair.key);
        let wait = arrived[1].at.duration_since(arrived[0].at);
        assert!(wait >= Duration::from_millis(1_900), "{wait:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_grow_rarer_and_go_on_after_a_crash() {
    let mut environment = PushGateway::ENVIRONMENT.to_vec();
    environment.extend([
        ("PLAYHOUSE_PUSH_RETRY_WAIT_MS", "700"),
        ("PLAYHOUSE_PUSH_RETRY_WAIT_MAX_MS", "3000"),
    ]);
    on_own_servers(&environment, async |server| {
        let gateway = PushGateway::start().await;
        let pair = pair(server, &gateway, json!({})).await;
        let admin = administrator(&pair.anna, &fresh("admin")).await;
        gateway.set(Manner::Refuses(502));
        let event_id = pair.bert.say(&pair.room_id, "hello").await;
        gateway.until(&pair.key, |all| all.len() >= 2).await;
        // The second failure is kept a moment after it happened.
        let deadline = Instant::now() + KEPT_WITHIN;
        loop {
            let shown = shown(&admin, &pair.anna.user_id).await;
            if shown["pushers"][0]["failures"].as_u64() >= Some(2) {
                break;
            }
            assert!(Instant::now() < deadline, "it is not kept: {shown}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        server.kill();
        server.start_again();
        let pair = pair.at(server);
        let arrived = gateway.until(&pair.key, |all| all.len() >= 3).await;
        let waits = waits(&arrived);
        assert!(waits[0] >= Duration::from_millis(690), "{waits:?}");
        assert!(waits[1] >= Duration::from_millis(1_390), "{waits:?}");
        gateway.set(Manner::Takes);
        gateway.pushed(&pair.key, &event_id).await;
        // It is tried again from now on.
        let next = pair.bert.say(&pair.room_id, "again").await;
        gateway.pushed(&pair.key, &next).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_counted_and_withheld_as_the_operator_wishes() {
    let mut environment = PushGateway::ENVIRONMENT.to_vec();
    environment.extend([
        ("PLAYHOUSE_PUSH_GROUP_UNREAD_COUNT_BY_ROOM", "false"),
        ("PLAYHOUSE_PUSH_INCLUDE_CONTENT", "false"),
        ("PLAYHOUSE_PUSH_JITTER_MS", "20"),
    ]);
    on_own_servers(&environment, async |server| {
        let gateway = PushGateway::start().await;
        let pair = pair(server, &gateway, json!({})).await;
        let first = pair.bert.say(&pair.room_id, "one").await;
        gateway.pushed(&pair.key, &first).await;
        let second = pair.bert.say(&pair.room_id, "two").await;
        let told = gateway.pushed(&pair.key, &second).await;
        assert_eq!(told["counts"]["unread"], 2, "{told}");
        assert_eq!(told["content"], Value::Null, "{told}");
        assert_eq!(told["type"], "m.room.message", "{told}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_pushed_where_pushing_is_switched_off() {
    let mut environment = PushGateway::ENVIRONMENT.to_vec();
    environment.push(("PLAYHOUSE_PUSH_ENABLED", "false"));
    on_own_servers(&environment, async |server| {
        let gateway = PushGateway::start().await;
        let pair = pair(server, &gateway, json!({})).await;
        let silent = pair.bert.say(&pair.room_id, "silent").await;
        server.set("PLAYHOUSE_PUSH_ENABLED", "true");
        server.restart();
        let pair = pair.at(server);
        let loud = pair.bert.say(&pair.room_id, "loud").await;
        gateway.pushed(&pair.key, &loud).await;
        let told = gateway.attempts(&pair.key);
        let silent = told
            .iter()
            .filter(|one| one.event_id() == Some(silent.as_str()));
        assert_eq!(silent.count(), 0);
    })
    .await;
}

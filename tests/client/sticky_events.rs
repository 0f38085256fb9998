//! Sticky events (MSC4354).

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{
    props::{filter, ids, list, room_path, text},
    sliding_sync::Slider,
    stage::{fresh, on_each_engine, on_own_servers},
};
use crate::harness::{Client, client::encode};

const KEY: &str = "org.matrix.msc4354.sticky_duration_ms";
const TTL: &str = "msc4354_sticky_duration_ttl_ms";
const TYPE: &str = "org.example.call";

/// Sends an event that sticks for so long, and gives its ID.
pub(crate) async fn stick(client: &Client, room_id: &str, duration_ms: u64) -> String {
    let rest = format!("send/{TYPE}/{}?{KEY}={duration_ms}", fresh("t"));
    let path = room_path(room_id, &rest);
    let sent = client.put(&path, json!({"here": true})).await;
    text(&sent.ok()["event_id"])
}

/// The events that stick to a room by a section of a sync.
pub(crate) fn stuck(section: &Value) -> Vec<String> {
    match &section["events"] {
        Value::Null => Vec::new(),
        events => ids(events),
    }
}

fn short(limit: usize) -> String {
    filter(&json!({"room": {"timeline": {"limit": limit}}}))
}

/// Syncs from the same place until a room's timeline ends with an event, and gives what is told of the room, and the token.
async fn told(
    client: &Client,
    (since, query): (Option<&str>, &str),
    (room_id, last): (&str, &str),
) -> (Value, String) {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let answer = client.sync(since, query).await;
        let room = &answer["rooms"]["join"][room_id];
        let events = room["timeline"]["events"].as_array();
        let newest = events.and_then(|events| events.last());
        if newest.is_some_and(|event| event["event_id"] == last) {
            return (room.clone(), text(&answer["next_batch"]));
        }
        assert!(Instant::now() < deadline, "it never came: {answer}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_sticks_is_told_beside_the_timeline() {
    on_each_engine(async |stage| {
        let [anna, bert] = stage.users(["anna", "bert"]).await;
        let room_id = anna.create_room(json!({"preset": "public_chat"})).await;
        bert.join(&room_id).await;
        let since = bert.now_in(&room_id).await;
        let first = stick(&anna, &room_id, 600_000).await;
        stick(&anna, &room_id, 0).await;
        let redacted = stick(&anna, &room_id, 600_000).await;
        anna.send(&room_id, TYPE, json!({})).await;
        anna.redact(&room_id, &redacted).await;
        for number in 0..4 {
            anna.say(&room_id, &number.to_string()).await;
        }
        let last = stick(&anna, &room_id, 99_999_999).await;
        // Bert has missed the beginning; what the timeline shows is not told twice.
        let place = (&*room_id, &*last);
        let (room, next) = told(&bert, (Some(&since), &short(3)), place).await;
        let section = &room["msc4354_sticky"];
        assert_eq!(stuck(section), [first.as_str()], "{room}");
        let event = &section["events"][0];
        assert_eq!(event["msc4354_sticky"]["duration_ms"], 600_000);
        assert_eq!(event["content"], json!({"here": true}));
        let left = event["unsigned"][TTL].as_u64();
        assert!(
            left.is_some_and(|left| left > 0 && left <= 600_000),
            "{event}"
        );
        let newest = &room["timeline"]["events"][2];
        assert_eq!(newest["msc4354_sticky"]["duration_ms"], 3_600_000);
        assert!(newest["unsigned"][TTL].is_u64(), "{newest}");
        // It is told once.
        let after = anna.say(&room_id, "after").await;
        let (room, _) = told(&bert, (Some(&next), &short(3)), (&room_id, &after)).await;
        assert_eq!(stuck(&room["msc4354_sticky"]), [""; 0], "{room}");
        // Who does not want to see the type in the timeline gets it all the same.
        let without = json!({"room": {"timeline": {"limit": 50, "not_types": [TYPE]}}});
        let place = (&*room_id, &*after);
        let (room, _) = told(&bert, (Some(&since), &filter(&without)), place).await;
        assert_eq!(stuck(&room["msc4354_sticky"]), [first, last], "{room}");
        for bad in ["-1", "x", "1.5"] {
            let bad = room_path(&room_id, &format!("send/{TYPE}/1?{KEY}={bad}"));
            let sent = anna.put(&bad, json!({})).await;
            sent.refused(400, "M_INVALID_PARAM");
        }
        let versions = anna.get("/_matrix/client/versions").await.ok();
        assert_eq!(versions["unstable_features"]["org.matrix.msc4354"], true);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_in_sees_what_sticks_whatever_the_history_visibility() {
    on_each_engine(async |stage| {
        let [anna, bert, carl] = stage.users(["anna", "bert", "carl"]).await;
        let hidden = json!({"type": "m.room.history_visibility", "content": {"history_visibility": "joined"}});
        let wish = json!({"preset": "public_chat", "initial_state": [hidden]});
        let room_id = anna.create_room(wish).await;
        let since = bert.now().await;
        let sticky = stick(&anna, &room_id, 600_000).await;
        let state = room_path(&room_id, &format!("state/{TYPE}/anna?{KEY}=600000"));
        let state = text(&anna.put(&state, json!({})).await.ok()["event_id"]);
        let plain = anna.send(&room_id, TYPE, json!({})).await;
        let path = |event_id: &str| format!("event/{}", encode(event_id));
        for event_id in [&sticky, &plain] {
            assert_ne!(bert.look(&room_id, &path(event_id)).await.status, 200);
        }
        bert.join(&room_id).await;
        let last = anna.say(&room_id, "welcome").await;
        let (room, _) = told(&bert, (Some(&since), &short(1)), (&room_id, &last)).await;
        assert_eq!(stuck(&room["msc4354_sticky"]), [sticky.clone(), state], "{room}");
        let seen = bert.look(&room_id, &path(&sticky)).await.ok();
        assert!(seen["unsigned"][TTL].is_u64(), "{seen}");
        assert_ne!(bert.look(&room_id, &path(&plain)).await.status, 200);
        // Nobody hears of somebody ignored, and who is gone hears nothing.
        carl.join(&room_id).await;
        let ignored = stick(&carl, &room_id, 600_000).await;
        let data = format!("/_matrix/client/v3/user/{}/account_data/m.ignored_user_list", encode(&bert.user_id));
        let ignore = json!({"ignored_users": {&carl.user_id: {}}});
        bert.put(&data, ignore).await.ok();
        let last = anna.say(&room_id, "again").await;
        let (room, _) = told(&bert, (None, &short(1)), (&room_id, &last)).await;
        let section = stuck(&room["msc4354_sticky"]);
        assert!(section.contains(&sticky) && !section.contains(&ignored), "{room}");
        bert.leave(&room_id).await;
        let all = filter(&json!({"room": {"include_leave": true}}));
        let deadline = Instant::now() + Duration::from_secs(120);
        let gone = loop {
            let answer = bert.sync(Some(&since), &all).await;
            if answer["rooms"]["leave"][&room_id].is_object() {
                break answer;
            }
            assert!(Instant::now() < deadline, "the leave never came: {answer}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        assert!(gone["rooms"]["join"][&room_id].is_null(), "{gone}");
        assert!(!gone.to_string().contains("msc4354_sticky\":{\"events"), "{gone}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_over_is_not_told_and_a_restart_forgets_nothing() {
    on_own_servers(&[], async |server| {
        let anna = server.register("anna").await;
        let bert = server.register("bert").await;
        let room_id = anna.create_room(json!({"preset": "public_chat"})).await;
        let lasting = stick(&anna, &room_id, 600_000).await;
        let brief = stick(&anna, &room_id, 2_000).await;
        let last = anna.say(&room_id, "hello").await;
        let place = (&*room_id, &*last);
        server.kill();
        server.start_again();
        let (anna, bert) = (anna.at(server.base()), bert.at(server.base()));
        let deadline = Instant::now() + Duration::from_secs(120);
        loop {
            let (room, _) = told(&anna, (None, &short(1)), place).await;
            let section = stuck(&room["msc4354_sticky"]);
            assert!(section.contains(&lasting), "{room}");
            if section == [lasting.clone()] {
                break;
            }
            assert!(Instant::now() < deadline, "it is never over: {room}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let path = format!("event/{}", encode(&brief));
        let seen = anna.look(&room_id, &path).await.ok();
        assert_eq!(seen["msc4354_sticky"]["duration_ms"], 2_000);
        assert!(seen["unsigned"][TTL].is_null(), "{seen}");
        bert.join(&room_id).await;
        let last = anna.say(&room_id, "welcome").await;
        let (room, _) = told(&bert, (None, &short(1)), (&room_id, &last)).await;
        assert_eq!(stuck(&room["msc4354_sticky"]), [lasting], "{room}");
    })
    .await;
}

fn extension<'a>(answer: &'a Value, room_id: &str) -> (&'a Value, Vec<String>) {
    let extension = &answer["extensions"]["org.matrix.msc4354.sticky_events"];
    (
        &extension["next_batch"],
        stuck(&extension["rooms"][room_id]),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn sliding_sync_has_an_extension_for_them() {
    on_each_engine(async |stage| {
        let [anna, bert] = stage.users(["anna", "bert"]).await;
        let room_id = anna.create_room(json!({"preset": "public_chat"})).await;
        let first = stick(&anna, &room_id, 600_000).await;
        let shown = stick(&anna, &room_id, 600_000).await;
        bert.join(&room_id).await;
        let mut slider = Slider::with_list(&bert, 9, 2);
        let wish = "/extensions/org.matrix.msc4354.sticky_events";
        let without = slider.room(&room_id).await;
        assert!(without.get("msc4354_sticky").is_none(), "{without}");
        // Who begins to listen is told of all that sticks, but what the timeline shows.
        slider.body["extensions"] = json!({"org.matrix.msc4354.sticky_events": {"enabled": true}});
        let answer = slider.next(0).await;
        let (next, events) = extension(&answer, &room_id);
        assert_eq!(events, [first.clone(), shown.clone()], "{answer}");
        let event = answer.pointer(&format!(
            "{wish}/rooms/{}/events/0",
            room_id.replace('/', "~1")
        ));
        let event = event.expect("an event");
        assert!(event["unsigned"][TTL].is_u64(), "{event}");
        slider.body["extensions"]["org.matrix.msc4354.sticky_events"]["since"] = next.clone();
        let answer = slider.next(0).await;
        assert_eq!(extension(&answer, &room_id).1, [""; 0], "{answer}");
        // From then on, of what is new and not shown.
        let unseen = stick(&anna, &room_id, 600_000).await;
        for number in 0..3 {
            anna.say(&room_id, &number.to_string()).await;
        }
        let seen = stick(&anna, &room_id, 600_000).await;
        let mut told = Vec::new();
        slider
            .until(|answer| {
                let room = &answer["rooms"][&room_id]["timeline"];
                let room = room.as_array().map(|_| ids(room)).unwrap_or_default();
                room.contains(&seen)
            })
            .await;
        let mut anew = Slider::with_list(&bert, 9, 1);
        anew.body["extensions"] = json!({"org.matrix.msc4354.sticky_events": {"enabled": true}});
        let answer = anew.next(0).await;
        told.extend(extension(&answer, &room_id).1);
        assert_eq!(list(&answer["rooms"][&room_id]["timeline"]).len(), 1);
        assert_eq!(told, [first, shown, unseen], "{answer}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_are_sent_later_stick_from_then_on() {
    on_each_engine(async |stage| {
        let anna = stage.user("anna").await;
        let room_id = anna.create_room(json!({})).await;
        let since = anna.now_in(&room_id).await;
        let delay = "org.matrix.msc4140.delay=50";
        let rest = format!("send/{TYPE}/{}?{delay}&{KEY}=600000", fresh("t"));
        anna.put(&room_path(&room_id, &rest), json!({})).await.ok();
        let path = format!(
            "/_matrix/client/unstable/org.matrix.msc4140/rooms/{}/delayed_event/{TYPE}/{}?{KEY}=500000",
            encode(&room_id),
            fresh("t")
        );
        let body = json!({"delay_ms": 50, "content": {}});
        anna.put(&path, body).await.ok();
        let mut durations = Vec::new();
        let (deadline, mut since) = (Instant::now() + Duration::from_secs(120), since);
        while durations.len() < 2 {
            assert!(Instant::now() < deadline, "only {durations:?}");
            let answer = anna.sync(Some(&since), "timeout=2000").await;
            let events = &answer["rooms"]["join"][&room_id]["timeline"]["events"];
            let sticky = events.as_array().into_iter().flatten();
            let sticky = sticky.filter(|event| event["unsigned"][TTL].is_u64());
            durations.extend(sticky.filter_map(|event| event["msc4354_sticky"]["duration_ms"].as_u64()));
            since = text(&answer["next_batch"]);
        }
        durations.sort_unstable();
        assert_eq!(durations, [500_000, 600_000]);
    })
    .await;
}

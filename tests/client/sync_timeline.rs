//! `/sync` v2: timelines, state and tokens.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{
    props::{filter, ids, list, members, next_batch, of_type, said, text, types},
    stage::{on_each_engine, on_own_servers},
};

#[tokio::test(flavor = "multi_thread")]
async fn each_answer_begins_where_the_last_ended() {
    on_each_engine(async |stage| {
        let [anna, bert] = stage.users(["anna", "bert"]).await;
        let room_id = anna.create_room(json!({"preset": "public_chat"})).await;
        bert.join(&room_id).await;
        let mut since = bert.now_in(&room_id).await;
        for round in 0..3 {
            let mut sent = Vec::new();
            for line in 0..4 {
                sent.push(anna.say(&room_id, &format!("{round} {line}")).await);
            }
            let (seen, next) = bert.sync_to(&since, &room_id, &sent[3]).await;
            assert_eq!(ids(&Value::Array(seen)), sent);
            since = next;
        }
        let quiet = bert.sync(Some(&since), "").await;
        assert!(quiet["rooms"]["join"].get(&room_id).is_none(), "{quiet}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_with_the_same_token_gives_the_same() {
    on_each_engine(async |stage| {
        let anna = stage.user("anna").await;
        let room_id = anna.create_room(json!({})).await;
        let since = anna.now_in(&room_id).await;
        let event_id = anna.say(&room_id, "once").await;
        anna.sync_to(&since, &room_id, &event_id).await;
        for _ in 0..2 {
            let answer = anna.sync(Some(&since), "").await;
            let events = &answer["rooms"]["join"][&room_id]["timeline"]["events"];
            assert_eq!(ids(events), [event_id.as_str()]);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_wakes_a_long_poll() {
    on_each_engine(async |stage| {
        let [anna, bert] = stage.users(["anna", "bert"]).await;
        let room_id = anna.create_room(json!({"preset": "public_chat"})).await;
        bert.join(&room_id).await;
        let since = bert.now_in(&room_id).await;
        let started = Instant::now();
        let (answer, event_id) = tokio::join!(
            bert.sync_until(&since, "timeout=90000", |answer| {
                answer["rooms"]["join"].get(&room_id).is_some()
            }),
            anna.say(&room_id, "wake up")
        );
        let timeline = &answer["rooms"]["join"][&room_id]["timeline"];
        assert_eq!(ids(&timeline["events"]), [event_id]);
        assert_eq!(timeline["limited"], false);
        assert!(started.elapsed() < Duration::from_secs(60));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limited_timeline_and_messages_give_everything_once() {
    on_each_engine(async |stage| {
        let [anna, bert] = stage.users(["anna", "bert"]).await;
        let room_id = anna.create_room(json!({"preset": "public_chat"})).await;
        bert.join(&room_id).await;
        let start = bert.now_in(&room_id).await;
        let before = anna.say(&room_id, "known").await;
        let (_, since) = bert.sync_to(&start, &room_id, &before).await;
        let mut sent = Vec::new();
        for line in 0..17 {
            sent.push(anna.say(&room_id, &format!("line {line}")).await);
        }
        let topic = anna
            .set_state(&room_id, "m.room.topic", "", json!({"topic": "early"}))
            .await
            .ok();
        sent.push(text(&topic["event_id"]));
        for line in 0..6 {
            sent.push(anna.say(&room_id, &format!("late {line}")).await);
        }
        let few = filter(&json!({"room": {"timeline": {"limit": 5}}}));
        let last = sent[sent.len() - 1].clone();
        // What anna was told is done reaches bert's feed a moment later.
        bert.now_in(&room_id).await;
        let answer = bert.sync(Some(&since), &few).await;
        let room = &answer["rooms"]["join"][&room_id];
        let timeline = &room["timeline"];
        assert_eq!(timeline["limited"], true);
        let told = ids(&timeline["events"]);
        assert_eq!(told.len(), 5);
        assert_eq!(told[4], last);
        // What the gap changed comes as state.
        assert_eq!(types(&room["state"]["events"]), ["m.room.topic"]);
        let older = bert
            .page_back(&room_id, &text(&timeline["prev_batch"]), 3)
            .await;
        let mut all: Vec<String> = ids(&Value::Array(older));
        all.reverse();
        all.extend(told);
        let start = all.iter().position(|id| *id == before).expect("the old");
        assert_eq!(all[start + 1..], sent);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn full_state_is_given_at_once() {
    on_each_engine(async |stage| {
        let anna = stage.user("anna").await;
        let room_id = anna.create_room(json!({"name": "Room"})).await;
        let since = anna.now_in(&room_id).await;
        let started = Instant::now();
        let answer = anna
            .sync(Some(&since), "full_state=true&timeout=90000")
            .await;
        assert!(started.elapsed() < Duration::from_secs(60));
        let room = &answer["rooms"]["join"][&room_id];
        let told = types(&room["state"]["events"]);
        for event_type in ["m.room.create", "m.room.name", "m.room.power_levels"] {
            assert!(told.iter().any(|told| told == event_type), "{room}");
        }
        assert_eq!(members(&room["state"]["events"]), [anna.user_id.as_str()]);
        let events = &room["timeline"]["events"];
        assert!(events.is_null() || list(events).is_empty(), "{room}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn state_after_is_the_state_at_the_end() {
    on_each_engine(async |stage| {
        let [anna, bert] = stage.users(["anna", "bert"]).await;
        let room_id = anna.create_room(json!({"preset": "public_chat"})).await;
        bert.join(&room_id).await;
        let since = bert.now_in(&room_id).await;
        for topic in ["first", "second"] {
            anna.set_state(&room_id, "m.room.topic", "", json!({ "topic": topic }))
                .await
                .ok();
        }
        let last = anna.say(&room_id, "the end").await;
        bert.sync_to(&since, &room_id, &last).await;
        let answer = bert.sync(Some(&since), "use_state_after=true").await;
        let room = &answer["rooms"]["join"][&room_id];
        assert!(room.get("state").is_none(), "{room}");
        let state = &room["state_after"]["events"];
        assert_eq!(types(state), ["m.room.topic"]);
        assert_eq!(state[0]["content"]["topic"], "second");
        // The other way, state that stands in the timeline is not told twice.
        let answer = bert.sync(Some(&since), "").await;
        let room = &answer["rooms"]["join"][&room_id];
        assert!(room.get("state_after").is_none(), "{room}");
        assert!(list(&room["state"]["events"]).is_empty(), "{room}");
        // An empty list is told too.
        let since = next_batch(&answer);
        let event_id = anna.say(&room_id, "no state").await;
        bert.sync_to(&since, &room_id, &event_id).await;
        let answer = bert.sync(Some(&since), "use_state_after=true").await;
        let room = &answer["rooms"]["join"][&room_id];
        assert_eq!(room["state_after"]["events"], json!([]), "{room}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newly_joined_room_comes_with_all_its_state() {
    on_each_engine(async |stage| {
        let [anna, bert] = stage.users(["anna", "bert"]).await;
        let room_id = anna
            .create_room(json!({"preset": "public_chat", "name": "Room", "topic": "Talk"}))
            .await;
        for line in 0..12 {
            anna.say(&room_id, &format!("{line}")).await;
        }
        let since = bert.now().await;
        bert.join(&room_id).await;
        let few = filter(&json!({"room": {"timeline": {"limit": 3}}}));
        let answer = bert
            .sync_until(&since, &few, |answer| {
                answer["rooms"]["join"].get(&room_id).is_some()
            })
            .await;
        let room = &answer["rooms"]["join"][&room_id];
        assert_eq!(room["timeline"]["limited"], true);
        assert_eq!(list(&room["timeline"]["events"]).len(), 3);
        let state = &room["state"]["events"];
        assert_eq!(of_type(state, "m.room.name")["content"]["name"], "Room");
        assert_eq!(of_type(state, "m.room.topic")["content"]["topic"], "Talk");
        assert!(members(state).contains(&anna.user_id), "{state}");
        assert_eq!(room["summary"]["m.joined_member_count"], 2);
        // Heroes only when the room has no name.
        assert!(room["summary"].get("m.heroes").is_none(), "{room}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn own_events_carry_the_transaction_for_the_sending_device_only() {
    on_each_engine(async |stage| {
        let anna = stage.user("anna").await;
        let phone = anna.login_again().await;
        let room_id = anna.create_room(json!({})).await;
        let since = anna.now_in(&room_id).await;
        let path = super::props::room_path(&room_id, "send/m.room.message/mine");
        let sent = anna.put(&path, json!({"body": "hello"})).await.ok();
        let event_id = text(&sent["event_id"]);
        let (seen, _) = anna.sync_to(&since, &room_id, &event_id).await;
        assert_eq!(seen[0]["unsigned"]["transaction_id"], "mine");
        assert_eq!(seen[0]["unsigned"]["membership"], "join");
        let (seen, _) = phone.sync_to(&since, &room_id, &event_id).await;
        assert!(seen[0]["unsigned"].get("transaction_id").is_none());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redaction_blanks_the_event_in_a_later_sync() {
    on_each_engine(async |stage| {
        let anna = stage.user("anna").await;
        let room_id = anna.create_room(json!({})).await;
        let since = anna.now_in(&room_id).await;
        let event_id = anna.say(&room_id, "too much").await;
        let redaction = anna.redact(&room_id, &event_id).await;
        anna.sync_to(&since, &room_id, &redaction).await;
        let answer = anna.sync(Some(&since), "").await;
        let events = &answer["rooms"]["join"][&room_id]["timeline"]["events"];
        assert_eq!(said(events), [""; 0]);
        assert_eq!(
            events[0]["unsigned"]["redacted_because"]["event_id"],
            *redaction
        );
        // Version 12 keeps `redacts` in the content; clients of old find it outside as well.
        assert_eq!(events[1]["content"]["redacts"], *event_id);
        assert_eq!(events[1]["redacts"], *event_id);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_from_before_a_restart_misses_and_repeats_nothing() {
    on_own_servers(&[], async |server| {
        let (anna, bert) = (server.register("anna").await, server.register("bert").await);
        let room_id = anna.create_room(json!({"preset": "public_chat"})).await;
        bert.join(&room_id).await;
        let start = bert.now_in(&room_id).await;
        let known = anna.say(&room_id, "known").await;
        let (_, since) = bert.sync_to(&start, &room_id, &known).await;
        let unseen = anna.say(&room_id, "unseen").await;
        server.restart();
        let (anna, bert) = (anna.at(server.base()), bert.at(server.base()));
        let answer = bert.sync(Some(&since), "").await;
        let timeline = &answer["rooms"]["join"][&room_id]["timeline"];
        assert_eq!(ids(&timeline["events"]), [unseen.as_str()]);
        let after = anna.say(&room_id, "after").await;
        let (seen, _) = bert.sync_to(&next_batch(&answer), &room_id, &after).await;
        assert_eq!(ids(&Value::Array(seen)), [after.as_str()]);
        server.kill();
        server.start_again();
        let answer = bert.at(server.base()).sync(Some(&since), "").await;
        let timeline = &answer["rooms"]["join"][&room_id]["timeline"];
        assert_eq!(ids(&timeline["events"]), [unseen, after]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn long_polls_end_when_the_server_stops() {
    on_own_servers(&[], async |server| {
        let anna = server.register("anna").await;
        let since = anna.now().await;
        let poll = {
            let (anna, since) = (anna.clone(), since.clone());
            tokio::spawn(async move {
                let path = format!("/_matrix/client/v3/sync?timeout=100000&since={since}");
                let answer = anna.try_request(reqwest::Method::GET, &path, None);
                answer.await.map(|answer| answer.status)
            })
        };
        let started = Instant::now();
        tokio::task::block_in_place(|| server.stop());
        assert!(started.elapsed() < Duration::from_secs(90));
        // Whether the poll arrived before the end or not, it does not hang.
        let ended = tokio::time::timeout(Duration::from_secs(120), poll).await;
        let status = ended.expect("the poll ends").expect("no panic");
        assert!(matches!(status, Ok(200 | 503) | Err(_)), "{status:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_parameters_are_named() {
    on_each_engine(async |stage| {
        let anna = stage.user("anna").await;
        let sync = "/_matrix/client/v3/sync";
        stage
            .client()
            .get(sync)
            .await
            .refused(401, "M_MISSING_TOKEN");
        let bad = |query: &str| format!("{sync}?{query}");
        let answer = anna.get(&bad("since=nonsense")).await;
        answer.refused(400, "M_INVALID_PARAM");
        for query in [
            "timeout=soon",
            "filter=%7Bnonsense",
            "filter=%7B%22room%22%3A1%7D",
        ] {
            let answer = anna.get(&bad(query)).await;
            assert_eq!(answer.status, 400, "{query}: {}", answer.body);
        }
        // A filter nobody stored.
        let answer = anna.get(&bad("filter=4711")).await;
        assert!([400, 404].contains(&answer.status), "{}", answer.body);
    })
    .await;
}

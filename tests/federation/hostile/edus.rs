//! Ephemeral events that are no business of who sends them, or far too many.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{EVIL, Scene};
use crate::client::{props::list_or_none, stage::fresh};

/// Messages that are on their way come in less.
const PATIENCE: Duration = Duration::from_secs(120);

fn edu(kind: &str, content: Value) -> Value {
    json!({ "edu_type": kind, "content": content })
}

/// Sends ephemeral events; nothing is ever said of them.
async fn send(scene: &Scene, edus: Vec<Value>) {
    let told = scene
        .transaction(EVIL, &json!({"pdus": [], "edus": edus}))
        .await;
    assert_eq!(told.ok(), json!({"pdus": {}}));
}

fn receipt(room: &str, user: &str, event: &str) -> Value {
    let read = json!({"event_ids": [event], "data": {"ts": 1}});
    edu("m.receipt", json!({room: {"m.read": {user: read}}}))
}

fn typing(room: &str, user: &str) -> Value {
    let content = json!({"room_id": room, "user_id": user, "typing": true});
    edu("m.typing", content)
}

fn direct(sender: &str, to: &str, id: &str) -> Value {
    let messages = json!({to: {"*": {"id": id}}});
    edu(
        "m.direct_to_device",
        json!({"sender": sender, "type": "m.test", "message_id": id, "messages": messages}),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_may_not_tell_is_passed_over() {
    let scene = Scene::open().await;
    let (anna, room, other) = (
        &scene.anna.user_id,
        &scene.room_id,
        &scene.elsewhere.room_id,
    );
    let said = scene.anna.say(room, "here").await;
    let there = scene.anna.say(other, "there").await;
    let (eve, gus) = ("@eve:evil.test", "@gus:good.test");
    send(&scene, vec![
        // In rooms that they are not in, and of users of others.
        typing(other, eve),
        typing(room, gus),
        typing(room, anna),
        typing(room, "@stranger:evil.test"),
        typing("!nowhere:evil.test", eve),
        receipt(other, eve, &there),
        receipt(room, gus, &said),
        receipt(room, anna, &said),
        receipt("!nowhere:evil.test", eve, &said),
        receipt(room, "@stranger:evil.test", &said),
        direct(gus, anna, "not his server"),
        direct(anna, anna, "not her server"),
        direct(eve, gus, "not for us"),
        direct(eve, "@nobody:playhouse.test", "for nobody"),
        edu("m.presence", json!({"push": [{"user_id": gus, "presence": "online"}, {"user_id": anna, "presence": "unavailable", "status_msg": "hacked"}]})),
        edu("m.device_list_update", json!({"user_id": gus, "device_id": "D", "stream_id": 1, "keys": {}})),
        edu("m.device_list_update", json!({"user_id": anna, "device_id": "D", "stream_id": 1, "deleted": true})),
        edu("m.signing_key_update", json!({"user_id": anna, "master_key": {"user_id": anna, "usage": ["master"], "keys": {}}})),
    ]).await;
    // And what they may tell.
    send(
        &scene,
        vec![
            direct(eve, anna, "fine"),
            typing(room, eve),
            receipt(room, eve, &said),
        ],
    )
    .await;
    let seen = scene.anna.sync_anew_until("", |answer| {
        let has = |kind: &str| {
            let events = list_or_none(&answer["rooms"]["join"][room]["ephemeral"]["events"]);
            events.iter().any(|event| event["type"] == kind)
        };
        has("m.receipt")
            && has("m.typing")
            && !list_or_none(&answer["to_device"]["events"]).is_empty()
    });
    let seen = seen.await;
    assert_only_what_is_hers(&seen, (room, other), &said);
    let devices = scene.anna.get("/_matrix/client/v3/devices").await.ok();
    assert_eq!(list_or_none(&devices["devices"]).len(), 1);
    scene.end("ephemeral events of others").await;
}

fn assert_only_what_is_hers(seen: &Value, (room, other): (&str, &str), said: &str) {
    let eve = "@eve:evil.test";
    let ephemeral = list_or_none(&seen["rooms"]["join"][room]["ephemeral"]["events"]);
    for event in ephemeral {
        if event["type"] == "m.typing" {
            assert_eq!(event["content"]["user_ids"], json!([eve]));
        } else {
            assert_eq!(
                event["content"],
                json!({said: {"m.read": {eve: event["content"][said]["m.read"][eve]}}}),
                "{event}"
            );
        }
    }
    let elsewhere = &seen["rooms"]["join"][other]["ephemeral"]["events"];
    assert!(list_or_none(elsewhere).is_empty(), "{elsewhere}");
    let messages = list_or_none(&seen["to_device"]["events"]);
    assert_eq!(messages.len(), 1, "{messages:?}");
    assert_eq!(messages[0]["content"], json!({"id": "fine"}));
    assert!(
        !seen["presence"].to_string().contains("hacked"),
        "{}",
        seen["presence"]
    );
}

/// Waits until our user sees where a user has read up to.
async fn await_receipt(scene: &Scene, user: &str, event: &str) {
    let stands_there = |answer: &Value| {
        let ephemeral = &answer["rooms"]["join"][&scene.room_id]["ephemeral"]["events"];
        let ephemeral = list_or_none(ephemeral);
        let mut receipts = ephemeral.iter().map(|told| &told["content"][event]);
        receipts.any(|receipt| !receipt["m.read"][user].is_null())
    };
    scene.anna.sync_anew_until("", stands_there).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_may_come_before_what_was_read() {
    let scene = Scene::open().await;
    let mut eve = scene.eve.clone();
    // Gus came last: nothing else is an end of the graph.
    eve.last.clone_from(&scene.gus.last);
    let (room, user) = (eve.room_id.clone(), eve.user_id.clone());
    let together = eve.text("read as it is sent");
    eve.follow(&together);
    let edus = [receipt(&room, &user, &together.id)];
    let told = scene
        .transaction(EVIL, &json!({"pdus": [together.json], "edus": edus}))
        .await
        .ok();
    Scene::assert_taken(&told["pdus"], &together);
    await_receipt(&scene, &user, &together.id).await;
    // Of what never comes nothing is shown, and what is read after it is.
    let (never, late) = (eve.text("never sent"), eve.text("sent late"));
    for event in [&never, &late] {
        send(&scene, vec![receipt(&room, &user, &event.id)]).await;
    }
    let told = scene.send(EVIL, &[&late]).await;
    Scene::assert_taken(&told, &late);
    await_receipt(&scene, &user, &late.id).await;
    scene.end("receipts that come early").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ephemeral_nonsense_is_passed_over() {
    let scene = Scene::open().await;
    let kinds = [
        "m.typing",
        "m.receipt",
        "m.presence",
        "m.direct_to_device",
        "m.device_list_update",
        "m.signing_key_update",
        "org.example.unknown",
    ];
    let contents = [
        json!(null),
        json!(5),
        json!([]),
        json!({}),
        json!({"room_id": 5, "user_id": [], "typing": "yes"}),
        json!({"room_id": "!x", "user_id": "eve", "typing": true}),
        json!({"push": 5}),
        json!({"push": [5, {}, {"user_id": "eve"}, {"user_id": "@eve:evil.test", "presence": "dancing"}]}),
        json!({"sender": "@eve:evil.test", "type": 5, "message_id": {}, "messages": []}),
        json!({"sender": "@eve:evil.test", "type": "m.test", "message_id": "m", "messages": {"@anna:playhouse.test": {"*": 5}}}),
        json!({"user_id": "@eve:evil.test", "device_id": 5, "stream_id": "first"}),
        json!({"user_id": "@eve:evil.test", "device_id": "D", "stream_id": -1, "prev_id": [-5], "keys": 5}),
        json!({"user_id": "@eve:evil.test", "master_key": 5, "self_signing_key": []}),
        json!({&scene.room_id: {"m.read": {"@eve:evil.test": {"event_ids": [], "data": 5}}}}),
    ];
    let all = kinds
        .iter()
        .flat_map(|kind| contents.iter().map(|content| edu(kind, content.clone())));
    let mut all: Vec<_> = all.collect();
    all.extend([
        json!(5),
        json!({}),
        json!({"edu_type": 5, "content": {}}),
        json!({"edu_type": "m.typing"}),
    ]);
    for edus in all.chunks(100) {
        send(&scene, edus.to_vec()).await;
    }
    let sync = scene.anna.sync(None, "").await;
    assert!(
        list_or_none(&sync["to_device"]["events"]).is_empty(),
        "{}",
        sync["to_device"]
    );
    scene.end("ephemeral nonsense").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_messages_to_devices_is_bounded() {
    let scene = Scene::open().await;
    let anna = &scene.anna;
    let flood = async {
        for _ in 0..20 {
            let edus: Vec<_> = (0..100)
                .map(|_| {
                    edu("m.direct_to_device", json!({
                        "sender": "@eve:evil.test", "type": "m.flood", "message_id": fresh("flood"),
                        "messages": {&anna.user_id: {"*": {"text": "x".repeat(1_000)}}},
                    }))
                })
                .collect();
            send(&scene, edus).await;
        }
        // One message for a thousand devices of a thousand users.
        let devices: Value = (0..40)
            .map(|it| (format!("DEVICE{it}"), json!({})))
            .collect::<serde_json::Map<_, _>>()
            .into();
        let users: Value = (0..200)
            .map(|it| (format!("@user{it}:playhouse.test"), devices.clone()))
            .collect::<serde_json::Map<_, _>>()
            .into();
        send(&scene, vec![edu("m.direct_to_device", json!({
            "sender": "@eve:evil.test", "type": "m.flood", "message_id": fresh("flood"), "messages": users,
        }))]).await;
    };
    tokio::join!(flood, scene.others_are_served());
    // All can be fetched, and nothing else is lost by it.
    let mut since = String::new();
    let (mut count, mut newest) = (0, Instant::now());
    loop {
        let after = (!since.is_empty()).then_some(since.as_str());
        let answer = anna.sync(after, "timeout=500").await;
        since = answer["next_batch"].as_str().expect("a token").to_owned();
        let events = list_or_none(&answer["to_device"]["events"]);
        if !events.is_empty() {
            (count, newest) = (count + events.len(), Instant::now());
            continue;
        }
        // The last ones may be on their way.
        if count >= 2_000 || newest.elapsed() > PATIENCE {
            break;
        }
    }
    assert_eq!(count, 2_000);
    scene.end("a flood of messages to devices").await;
}

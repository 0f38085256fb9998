//! Events that are well made and not allowed.

use serde_json::{Value, json};

use super::{EVIL, GOOD, Scene, guest::Guest};
use crate::harness::{
    client::encode,
    made::{Made, now_ms},
};

async fn membership(scene: &Scene, user_id: &str) -> Value {
    let path = format!("state/m.room.member/{}", encode(user_id));
    scene.anna.look(&scene.room_id, &path).await.body["membership"].clone()
}

fn member(guest: &Guest, user_id: &str, membership: &str) -> Made {
    guest.event(json!({"type": "m.room.member", "state_key": user_id, "content": {"membership": membership}}))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_may_not_do_is_not_done() {
    let scene = Scene::open().await;
    let (eve, anna) = (&scene.eve, &scene.anna.user_id);
    let state = |event_type: &str, content: Value| {
        eve.event(json!({"type": event_type, "state_key": "", "content": content}))
    };
    let said = scene.anna.say(&scene.room_id, "what anna says").await;
    let before = scene.state().await;
    let auth = eve.draft(json!({}))["auth_events"].clone();
    let but_create = auth.as_array().expect("a list")[1..].to_vec();
    let mut doubled = auth.as_array().expect("a list").clone();
    doubled.push(doubled[0].clone());
    let rejected = state("m.room.topic", json!({"topic": "mine"}));
    let all = [
        state("m.room.power_levels", json!({"users": {&eve.user_id: 100}})),
        state("m.room.join_rules", json!({"join_rule": "invite"})),
        state("m.room.create", json!({"room_version": "11"})),
        state("m.room.server_acl", json!({"allow": [EVIL]})),
        state(
            "m.room.tombstone",
            json!({"replacement_room": "!trap:evil.test"}),
        ),
        rejected.clone(),
        member(eve, anna, "ban"),
        member(eve, anna, "leave"),
        member(eve, "@gus:good.test", "leave"),
        member(eve, "@new:good.test", "join"),
        member(eve, "@eve:evil.test", "dance"),
        eve.event(json!({"type": "org.example", "state_key": "@anna:playhouse.test"})),
        eve.event(json!({ "auth_events": [] })),
        eve.event(json!({ "auth_events": but_create })),
        eve.event(json!({ "auth_events": doubled })),
        // Of a user who was never in.
        eve.event(json!({"sender": "@mallory:evil.test"})),
    ];
    for made in &all {
        let told = scene.send(EVIL, &[made]).await;
        assert!(told[&made.id]["error"].is_string(), "{}: {told}", made.json);
    }
    let with_rejected = [
        auth.as_array().expect("a list").clone(),
        vec![json!(rejected.id)],
    ]
    .concat();
    let rests = eve.event(json!({ "auth_events": with_rejected }));
    let told = scene.send(EVIL, &[&rests]).await;
    assert!(told[&rests.id]["error"].is_string(), "{told}");
    let after = scene.state().await;
    assert_eq!(after, before);
    let seen = scene.seen().await;
    assert!(!all.iter().any(|made| seen.contains(&made.id)));
    // What follows a rejected event is judged by itself.
    let mut on = eve.clone();
    on.follow(&rejected);
    let next = on.text("after what was rejected");
    Scene::assert_taken(&scene.send(EVIL, &[&next]).await, &next);
    // Redacting what others say: the event stands, what it is about stays.
    let redaction = on.event(json!({"type": "m.room.redaction", "content": {"redacts": said}}));
    scene.send(EVIL, &[&redaction]).await;
    let path = format!("event/{}", encode(&said));
    let shown = scene.anna.look(&scene.room_id, &path).await.ok();
    assert_eq!(shown["content"]["body"], "what anna says", "{shown}");
    scene.end("forbidden events").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_banned_does_not_get_in_by_an_old_fork() {
    let scene = Scene::open().await;
    let ban = json!({"user_id": scene.eve.user_id, "reason": "enough"});
    scene.anna.act(&scene.room_id, "ban", ban).await.ok();
    let mut eve = scene.eve.clone();
    // The newest that she knows is that another came in.
    eve.last.clone_from(&scene.gus.last);
    eve.depth = scene.gus.depth;
    let message = eve.text("from before the ban, says eve");
    let rename = eve.event(json!({"type": "m.room.member", "state_key": eve.user_id, "content": {"membership": "join"}}));
    // She sends it herself, and another server carries it: that one knows the events from before the ban as well.
    let told = scene.send(EVIL, &[&message]).await;
    Scene::assert_taken(&told, &message);
    let told = scene.send(GOOD, &[&message, &rename]).await;
    for made in [&message, &rename] {
        // A sender is not told that its event is not shown.
        Scene::assert_taken(&told, made);
    }
    let mut gus = scene.gus.clone();
    gus.follow(&message);
    let upon = gus.text("upon what eve said");
    let told = scene.send(GOOD, &[&upon]).await;
    Scene::assert_taken(&told, &upon);
    let seen = scene.seen().await;
    assert!(!seen.contains(&message.id) && !seen.contains(&rename.id));
    assert!(seen.contains(&upon.id));
    assert_eq!(membership(&scene, &eve.user_id).await, "ban");
    let sync = scene.anna.sync(None, "").await.to_string();
    assert!(!sync.contains("says eve"));
    // And nothing of it goes on to others.
    scene.others_are_served().await;
    let relayed = scene.peers.received(GOOD);
    let is_hers = |event: &Value| event["sender"] == eve.user_id.as_str();
    assert!(!relayed.iter().any(is_hers));
    scene.end("ban evasion").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn depth_and_time_may_be_anything() {
    let scene = Scene::open().await;
    let mut eve = scene.eve.clone();
    let far = (1_i64 << 53) - 1;
    // What is said to be of a time at which the server's key may be another is believed by nobody.
    let future = eve.event(json!({"origin_server_ts": far}));
    let told = scene.send(EVIL, &[&future]).await;
    Scene::assert_refused(&told, &future, "signature");
    let soon = i64::try_from(now_ms()).expect("a time") + 3 * 24 * 3_600_000;
    for (depth, time) in [(0, 0), (far, soon), (1, soon), (far, 1)] {
        let made =
            eve.event(json!({"depth": depth, "origin_server_ts": time, "content": {"body": "x"}}));
        Scene::assert_taken(&scene.send(EVIL, &[&made]).await, &made);
        eve.last.clone_from(&made.id);
        let said = scene.anna.say(&scene.room_id, "and on").await;
        let ours = scene.peers.await_event(EVIL, |event| {
            event["prev_events"]
                .as_array()
                .is_some_and(|prev| prev.contains(&json!(made.id)))
        });
        let depth = ours.await["depth"].as_i64();
        assert!(
            depth.is_some_and(|depth| (0..=far).contains(&depth)),
            "{depth:?}"
        );
        let seen = scene.seen().await;
        assert_eq!(seen[seen.len() - 2..], [made.id, said.clone()]);
        eve.last = said;
    }
    let path = format!("timestamp_to_event?ts={}&dir=b", now_ms());
    let room = encode(&scene.room_id);
    let path = format!("/_matrix/client/v1/rooms/{room}/{path}");
    scene.anna.get(&path).await.ok();
    scene.end("extremes of depth and time").await;
}

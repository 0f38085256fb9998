//! Events that are none, or not what they say.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;

use super::{EVIL, GOOD, PROMPTLY, Scene};
use crate::{
    client::{props::ids, stage::fresh},
    harness::{
        Client, administrator,
        client::encode,
        made::{Made, id_of, sealed, sealed_wrongly},
        script::Reply,
    },
};

/// An event, changed after it was signed.
fn tampered(mut made: Made, change: impl FnOnce(&mut Value)) -> Made {
    change(&mut made.json);
    let id = id_of(&made.json);
    Made { id, ..made }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_event_is_refused_by_itself() {
    let scene = Scene::open().await;
    let eve = &scene.eve;
    let without = |key: &str| {
        tampered(eve.text("x"), |event| {
            event.as_object_mut().expect("an object").remove(key);
        })
    };
    let with = |key: &str, value: Value| tampered(eve.text("x"), |event| event[key] = value);
    let signed = |key: &str, value: Value| eve.event(json!({ key: value }));
    let mut odd = vec![
        with("content", json!("text")),
        with("signatures", json!({})),
        with("signatures", json!({EVIL: {"ed25519:peer": "not base64!"}})),
        with("hashes", json!([])),
        with("type", json!(5)),
        with("sender", json!("eve")),
        signed("prev_events", json!([])),
        signed("prev_events", json!("all")),
        signed("prev_events", json!([["$a", {}]])),
        signed("auth_events", json!([5])),
        signed("depth", json!("deep")),
        signed("depth", json!(-5)),
        signed("origin_server_ts", json!("now")),
        signed("origin_server_ts", json!(-1)),
        signed("state_key", json!(5)),
    ];
    for key in [
        "type",
        "sender",
        "depth",
        "content",
        "auth_events",
        "prev_events",
    ] {
        odd.push(without(key));
    }
    for key in ["origin_server_ts", "hashes", "signatures"] {
        odd.push(without(key));
    }
    let deep = (0..60).fold(json!({}), |deep, _| json!([deep]));
    odd.push(with("content", deep));
    let before = scene.seen().await;
    for made in &odd {
        let told = scene.send(EVIL, &[made]).await;
        let outcomes = told.as_object().expect("an object");
        // Where an ID can be told, the reason is told under it.
        for (id, outcome) in outcomes {
            assert_eq!(*id, made.id, "{}", made.json);
            assert!(outcome["error"].is_string(), "{}: {told}", made.json);
        }
    }
    // Nonsense among the good does not hinder the good.
    let mut pdus = vec![json!(1), json!("x"), json!(null), json!([]), json!({})];
    pdus.extend([
        json!({"room_id": 5}),
        json!({"room_id": "!nowhere:evil.test"}),
    ]);
    let hello = eve.text("hello");
    pdus.push(hello.json.clone());
    let told = scene.transaction(EVIL, &json!({ "pdus": pdus })).await.ok();
    assert_eq!(told["pdus"], json!({&hello.id: {}}));
    let mut after = scene.seen().await;
    assert_eq!(after.pop(), Some(hello.id));
    assert_eq!(after, before);
    scene.end("malformed events").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_is_refused() {
    let scene = Scene::open().await;
    let eve = &scene.eve;
    let large = |length: usize| {
        tampered(eve.text("x"), |event| {
            event["content"]["body"] = json!("x".repeat(length));
        })
    };
    let wide = |key: &str, length: usize| eve.event(json!({ key: "x".repeat(length) }));
    let user = format!("@{}:evil.test", "x".repeat(250));
    let unknown = |count: usize| {
        (0..count)
            .map(|it| format!("$unknown{it}"))
            .collect::<Vec<_>>()
    };
    let auth = eve.draft(json!({}))["auth_events"].clone();
    let mut many_auth = auth.as_array().expect("a list").clone();
    many_auth.extend(unknown(11).into_iter().map(Value::String));
    let mut many_prev = unknown(20);
    many_prev.push(eve.last.clone());
    for made in [
        wide("type", 256),
        wide("state_key", 256),
        eve.event(json!({ "prev_events": many_prev })),
        eve.event(json!({ "auth_events": many_auth })),
    ] {
        let told = scene.send(EVIL, &[&made]).await;
        Scene::assert_refused(&told, &made, "too large");
    }
    let long_name = eve.event(json!({"sender": user, "auth_events": auth}));
    let told = scene.send(EVIL, &[&long_name]).await;
    Scene::assert_refused(&told, &long_name, "255 bytes");
    let larger = large(65_536);
    let told = scene.send(EVIL, &[&larger]).await;
    Scene::assert_refused(&told, &larger, "larger than");
    // Far more than an event may have is not even read: its ID is not worked out.
    let huge = large(1 << 20);
    assert_eq!(scene.send(EVIL, &[&huge]).await, json!({}));
    for made in [larger, huge] {
        let path = format!("event/{}", encode(&made.id));
        assert_eq!(scene.anna.look(&scene.room_id, &path).await.status, 404);
    }
    let fits = wide("type", 255);
    Scene::assert_taken(&scene.send(EVIL, &[&fits]).await, &fits);
    // `unsigned` is no part of the event, and is not kept.
    let padded = tampered(eve.text("padded"), |event| {
        event["unsigned"] = json!({"age": 5, "padding": "x".repeat(50_000), "prev_content": {}});
    });
    let told = scene.send(EVIL, &[&padded]).await;
    Scene::assert_taken(&told, &padded);
    let path = format!("event/{}", encode(&padded.id));
    let shown = scene.anna.look(&scene.room_id, &path).await.ok();
    assert!(shown["unsigned"]["padding"].is_null(), "{shown}");
    let body = json!({"pdus": [], "padding": "x".repeat(11 << 20)});
    let answer = scene.transaction(EVIL, &body).await;
    answer.refused(413, "M_TOO_LARGE");
    scene.end("oversized events").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrongly_signed_is_refused_and_what_is_wrongly_hashed_redacted() {
    let scene = Scene::open().await;
    let (eve, gus) = (&scene.eve, &scene.gus);
    let before = scene.seen().await;
    let draft = |body: &str| eve.draft(json!({"content": {"msgtype": "m.text", "body": body}}));
    let other_key = sealed_wrongly(EVIL, draft("another key"));
    let other_name = sealed(GOOD, draft("another name"));
    let in_his_name = sealed(EVIL, gus.draft(json!({"content": {"body": "gus says"}})));
    let ours = sealed(EVIL, eve.draft(json!({"sender": scene.anna.user_id})));
    let unknown_key = tampered(eve.text("unknown key"), |event| {
        let signature = event["signatures"][EVIL]["ed25519:peer"].take();
        event["signatures"] = json!({EVIL: {"ed25519:none": signature}});
    });
    let changed = tampered(eve.text("other depth"), |event| event["depth"] = json!(1));
    for made in [
        other_key,
        other_name,
        in_his_name,
        ours,
        unknown_key,
        changed,
    ] {
        let told = scene.send(EVIL, &[&made]).await;
        Scene::assert_refused(&told, &made, "signature");
    }
    assert_eq!(scene.seen().await, before);
    let redacted = tampered(eve.text("as it was signed"), |event| {
        event["content"]["body"] = json!("as it was changed");
    });
    let told = scene.send(EVIL, &[&redacted]).await;
    Scene::assert_taken(&told, &redacted);
    let path = format!("event/{}", encode(&redacted.id));
    let shown = scene.anna.look(&scene.room_id, &path).await.ok();
    assert_eq!(shown["content"], json!({}), "{shown}");
    // One server may bring what another has signed.
    let relayed = gus.text("carried by another");
    let told = scene.send(EVIL, &[&relayed]).await;
    Scene::assert_taken(&told, &relayed);
    // But not into rooms that are not here.
    let mut nowhere = gus.clone();
    nowhere.room_id = "!nowhere:good.test".to_owned();
    let foreign = nowhere.text("carried into a room of others");
    assert_eq!(scene.send(EVIL, &[&foreign]).await, json!({}));
    scene.end("forged events").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_deepest_nesting_that_clients_may_send_comes_over() {
    let scene = Scene::open().await;
    // The object around it is the hundredth level.
    let deepest = (1..100).fold(json!("deep"), |deep, _| json!([deep]));
    let content = json!({"msgtype": "m.text", "body": "deep", "deep": deepest});
    let (room, id) = (encode(&scene.room_id), fresh("deep"));
    let path = format!("/_matrix/client/v3/rooms/{room}/send/m.room.message/{id}");
    scene.anna.put(&path, content.clone()).await.ok();
    let is_deep = |event: &Value| event["content"]["deep"] == deepest;
    scene.peers.await_event(GOOD, is_deep).await;
    // What has come to a server of ours like that would come from one.
    let theirs = scene.eve.event(json!({ "content": content }));
    Scene::assert_taken(&scene.send(EVIL, &[&theirs]).await, &theirs);
    let deeper = json!({"pdus": [], "padding": (0..107).fold(json!("x"), |deep, _| json!([deep]))});
    scene.transaction(EVIL, &deeper).await.ok();
    let too_deep =
        json!({"pdus": [], "padding": (0..108).fold(json!("x"), |deep, _| json!([deep]))});
    let refused = scene.transaction(EVIL, &too_deep).await;
    refused.refused(400, "M_BAD_JSON");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_rests_on_something_unknown_waits_for_it_also_over_a_crash() {
    let mut scene = Scene::open().await;
    let mut eve = scene.eve.clone();
    // Gus came last: nothing else is an end of the graph.
    eve.last.clone_from(&scene.gus.last);
    let mut said = Vec::new();
    for text in ["one", "two", "three"] {
        let event = eve.text(text);
        eve.follow(&event);
        said.push(event);
    }
    // The first one is lost on its way, and her server tells nobody.
    let told = scene.send(EVIL, &[&said[2], &said[1]]).await;
    for event in &said[1..] {
        Scene::assert_refused(&told, event, "cannot be found");
    }
    scene.server.kill();
    scene.server.start_again();
    scene.anna = scene.anna.at(scene.server.base());
    let told = scene.send(EVIL, &[&said[0]]).await;
    Scene::assert_taken(&told, &said[0]);
    let has_all = |answer: &Value| {
        let timeline = &answer["rooms"]["join"][&scene.room_id]["timeline"]["events"];
        let shown: Vec<_> = timeline.as_array().map_or_else(Vec::new, |_| ids(timeline));
        said.iter().all(|event| shown.contains(&event.id))
    };
    scene.anna.sync_anew_until("", has_all).await;
}

/// The events that wait in a room, as administrators see them.
async fn waiting_in(room_id: &str, boss: &Client) -> Value {
    let path = format!("/_playhouse/admin/v1/rooms/{}/graph", encode(room_id));
    let told = boss.get(&path).await.ok();
    told["parked"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_from_elsewhere_while_it_is_asked_for_is_not_lacking() {
    let scene = Scene::open().await;
    let boss = administrator(&scene.server.client(), "boss").await;
    let mut eve = scene.eve.clone();
    // Gus came last: nothing else is an end of the graph.
    eve.last.clone_from(&scene.gus.last);
    let one = eve.text("one");
    eve.follow(&one);
    let two = eve.text("two");
    let (is_asked, mut asked) = watch::channel(false);
    let (is_time, time) = watch::channel(false);
    scene.peers.follow(move |question| {
        if question.name != EVIL || !question.path.contains("/get_missing_events/") {
            return None;
        }
        is_asked.send_replace(true);
        let nothing = json!({"events": []}).to_string();
        Some(Reply::Late(time.clone(), nothing.into_bytes()))
    });
    let meanwhile = async {
        let question = tokio::time::timeout(PROMPTLY, asked.wait_for(|asked| *asked));
        let question = question.await.expect("her server is asked");
        drop(question.expect("her server answers"));
        let told = scene.send(GOOD, &[&one]).await;
        is_time.send_replace(true);
        told
    };
    let (told, told_meanwhile) = tokio::join!(scene.send(EVIL, &[&two]), meanwhile);
    Scene::assert_taken(&told_meanwhile, &one);
    Scene::assert_taken(&told, &two);
    assert_eq!(waiting_in(&scene.room_id, &boss).await, json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_in_a_room_has_nothing_wait_there() {
    let scene = Scene::open().await;
    let boss = administrator(&scene.server.client(), "boss").await;
    let guest = &scene.elsewhere;
    let unknown = format!("${}", "A".repeat(43));
    let resting = guest.event(json!({ "prev_events": [unknown] }));
    let told = scene.send(EVIL, &[&resting]).await;
    Scene::assert_refused(&told, &resting, "cannot be found");
    assert_eq!(waiting_in(&guest.room_id, &boss).await, json!([]));
    // From a server that is in the room the same event waits.
    let told = scene.send(GOOD, &[&resting]).await;
    Scene::assert_refused(&told, &resting, "cannot be found");
    let waiting = waiting_in(&guest.room_id, &boss).await;
    assert_eq!(waiting[0]["event_id"], json!(resting.id), "{waiting}");
    assert_eq!(waiting[0]["lacks"], json!([unknown]), "{waiting}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_tried_again_or_given_up_when_administrators_want_it() {
    let scene = Scene::open().await;
    let boss = administrator(&scene.server.client(), "boss").await;
    let room = format!("/_playhouse/admin/v1/rooms/{}", encode(&scene.room_id));
    let retry = format!("{room}/parked/retry");
    let mut eve = scene.eve.clone();
    // Gus came last: nothing else is an end of the graph.
    eve.last.clone_from(&scene.gus.last);
    let one = eve.text("one");
    eve.follow(&one);
    let two = eve.text("two");
    let told = scene.send(EVIL, &[&two]).await;
    Scene::assert_refused(&told, &two, "cannot be found");
    // By now her server would tell what is lacking, but nothing of the room comes.
    let answer = json!({"events": [one.json]});
    scene.peers.follow(move |question| {
        let is_asked = question.name == EVIL && question.path.contains("/get_missing_events/");
        is_asked.then(|| Reply::Json(200, answer.clone()))
    });
    let waiting = waiting_in(&scene.room_id, &boss).await;
    assert_eq!(waiting[0]["event_id"], json!(two.id), "{waiting}");
    let anna = &scene.anna;
    anna.post(&retry, json!({}))
        .await
        .refused(403, "M_FORBIDDEN");
    let tried = boss.post(&retry, json!({})).await.ok();
    assert_eq!(tried["parked"], waiting);
    let taken = async {
        while waiting_in(&scene.room_id, &boss).await != json!([]) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let in_time = tokio::time::timeout(PROMPTLY, taken).await;
    in_time.expect("it is taken in");
    for made in [&one, &two] {
        let path = format!("event/{}", encode(&made.id));
        anna.look(&scene.room_id, &path).await.ok();
    }
    let unknown = format!("${}", "A".repeat(43));
    let resting = eve.event(json!({ "prev_events": [unknown] }));
    let told = scene.send(EVIL, &[&resting]).await;
    Scene::assert_refused(&told, &resting, "cannot be found");
    let discard = format!("{room}/parked/{}", encode(&resting.id));
    anna.delete(&discard).await.refused(403, "M_FORBIDDEN");
    let given_up = boss.delete(&discard).await.ok();
    assert_eq!(given_up["parked"]["event_id"], json!(resting.id));
    assert_eq!(waiting_in(&scene.room_id, &boss).await, json!([]));
    boss.delete(&discard).await.refused(404, "M_NOT_FOUND");
}

//! What servers tell each other of a room with an invite or a knock: from room version 12 on the create event proves which room it is.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use reqwest::Method;
use ruma::{
    CanonicalJsonObject, RoomVersionId,
    signatures::{hash_and_sign_event, reference_hash, sign_event},
};
use serde_json::{Value, json};

use crate::harness::{
    Client, Options, Peers, TestServer,
    client::{Answer, encode},
    made::{Made, now_ms},
    peer::{ask_as, env},
    script::{Asked, Reply},
};

const NEAR: &str = "near.test";
const BOB: &str = "@bob:near.test";

/// What was taken in is told in less.
const PATIENCE: Duration = Duration::from_secs(120);

async fn start(peers: &Peers) -> TestServer {
    TestServer::start_with(Options {
        environment: peers.environment(),
        ..Options::default()
    })
    .await
}

/// Hashes and signs an event of the other server.
fn sealed(version: &RoomVersionId, event: Value) -> Made {
    let rules = version.rules().expect("a known version");
    let mut object: CanonicalJsonObject = serde_json::from_value(event).expect("canonical JSON");
    let signer = &env(NEAR).identity.signer;
    hash_and_sign_event(NEAR, signer, &mut object, &rules.redaction).expect("it can be signed");
    let id = reference_hash(&object, &rules).expect("it can be hashed");
    Made {
        id: format!("${id}"),
        json: serde_json::to_value(&object).expect("JSON"),
    }
}

fn draft((event_type, state_key): (&str, &str), content: Value, prev: &[&Made]) -> Value {
    let prev: Vec<_> = prev.iter().map(|made| &made.id).collect();
    json!({
        "type": event_type, "state_key": state_key, "sender": BOB, "content": content, "prev_events": prev,
        "auth_events": [], "depth": prev.len() + 1, "origin_server_ts": now_ms(),
    })
}

/// What the other server tells of a room of its own.
struct Told {
    room_id: String,
    create: Made,
    name: Made,
}

impl Told {
    fn of(name: &str) -> Self {
        let content = json!({"room_version": "12", "about": name});
        let create = draft(("m.room.create", ""), content, &[]);
        let create = sealed(&RoomVersionId::V12, create);
        let room_id = format!("!{}", &create.id[1..]);
        let mut event = draft(("m.room.name", ""), json!({ "name": name }), &[&create]);
        event["room_id"] = json!(room_id);
        Self {
            name: sealed(&RoomVersionId::V12, event),
            room_id,
            create,
        }
    }

    fn state(&self) -> Value {
        json!([self.create.json, self.name.json])
    }

    /// Invites one of our users.
    async fn invite(&self, client: &Client, state: Option<Value>) -> Answer {
        let whose = ("m.room.member", client.user_id.as_str());
        let mut event = draft(whose, json!({"membership": "invite"}), &[&self.name]);
        event["room_id"] = json!(self.room_id);
        let event = sealed(&RoomVersionId::V12, event);
        invite(client, (&self.room_id, "12"), (event, state)).await
    }
}

async fn invite(
    client: &Client,
    (room_id, version): (&str, &str),
    (event, state): (Made, Option<Value>),
) -> Answer {
    let (room, event_id) = (encode(room_id), encode(&event.id));
    let path = format!("/_matrix/federation/v2/invite/{room}/{event_id}");
    let mut body = json!({"room_version": version, "event": event.json});
    if let Some(state) = state {
        body["invite_room_state"] = state;
    }
    let body = body.to_string();
    ask_as(NEAR, client, (Method::PUT, &path), Some(&body)).await
}

/// The event as clients see it who are not in the room.
fn stripped(made: &Made) -> Value {
    let event = &made.json;
    json!({"type": event["type"], "state_key": event["state_key"], "sender": event["sender"], "content": event["content"]})
}

/// The first whole sync that says what it should.
async fn synced_until(client: &Client, fits: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let synced = client.sync(None, "").await;
        if fits(&synced) {
            return synced;
        }
        assert!(Instant::now() < deadline, "{synced}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invite_proves_its_room() {
    let peers = Peers::start(&[NEAR]).await;
    let server = start(&peers).await;
    let anna = server.register("anna").await;
    let (told, other) = (Told::of("Here"), Told::of("There"));
    let mut forged = told.name.json.clone();
    forged["depth"] = json!(77);
    let create = &told.create.json;
    let mut message = draft(("m.room.message", ""), json!({}), &[&told.create]);
    message["room_id"] = json!(told.room_id);
    message
        .as_object_mut()
        .expect("an object")
        .remove("state_key");
    let message = sealed(&RoomVersionId::V12, message).json;
    for state in [
        None,
        Some(json!([])),
        Some(json!([told.name.json])),
        Some(json!([stripped(&told.create), stripped(&told.name)])),
        Some(json!([other.create.json, told.name.json])),
        Some(json!([create, other.name.json])),
        Some(json!([create, forged])),
        Some(json!([create, message])),
        Some(json!([create, {}])),
        Some(json!([create, 5])),
    ] {
        let answer = told.invite(&anna, state).await;
        answer.refused(400, "M_INVALID_PARAM");
    }
    let synced = anna.sync(None, "").await;
    assert!(synced["rooms"]["invite"].is_null(), "{synced}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_invited_see_what_is_proved() {
    let peers = Peers::start(&[NEAR]).await;
    let server = start(&peers).await;
    let anna = server.register("anna").await;
    let (told, other) = (Told::of("Here"), Told::of("There"));
    let signed = told.invite(&anna, Some(told.state())).await.ok();
    assert!(signed["event"]["signatures"]["playhouse.test"].is_object());
    // Synapse has sent nothing but the create event as a whole for long.
    let third = Told::of("Third");
    let state = json!([third.create.json, stripped(&third.name)]);
    third.invite(&anna, Some(state)).await.ok();
    // What was changed since it was hashed is not shown.
    let mut renamed = other.name.json.clone();
    renamed["content"]["name"] = json!("Elsewhere");
    let state = json!([other.create.json, renamed]);
    other.invite(&anna, Some(state)).await.ok();
    let invites = |synced: &Value| synced["rooms"]["invite"].clone();
    let is_told = |synced: &Value| {
        let invites = invites(synced);
        let mut rooms = [&told, &other, &third].into_iter();
        rooms.all(|told| invites[&told.room_id].is_object())
    };
    let synced = synced_until(&anna, is_told).await;
    let shown = |room_id: &str, event_type: &str| {
        let room = &synced["rooms"]["invite"][room_id]["invite_state"]["events"];
        let events = room.as_array().expect("stripped state").iter();
        for event in events.clone() {
            for key in [
                "hashes",
                "signatures",
                "auth_events",
                "prev_events",
                "depth",
            ] {
                assert!(event[key].is_null(), "{event}");
            }
        }
        let mut fitting = events.filter(|event| event["type"] == event_type);
        fitting.next().cloned().expect("it is told")
    };
    assert_eq!(
        shown(&told.room_id, "m.room.create"),
        stripped(&told.create)
    );
    for told in [&told, &third] {
        assert_eq!(shown(&told.room_id, "m.room.name"), stripped(&told.name));
    }
    assert_eq!(shown(&other.room_id, "m.room.name")["content"], json!({}));
    // Former room versions are told of in stripped form, too.
    let room_id = "!old:near.test";
    let whose = ("m.room.member", anna.user_id.as_str());
    let mut event = draft(whose, json!({"membership": "invite"}), &[&told.name]);
    event["room_id"] = json!(room_id);
    let event = sealed(&RoomVersionId::V11, event);
    let state = json!([stripped(&told.name)]);
    invite(&anna, (room_id, "11"), (event, Some(state)))
        .await
        .ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_proves_nothing_is_left_out_of_a_knock() {
    let peers = Peers::start(&[NEAR]).await;
    let server = start(&peers).await;
    let anna = server.register("anna").await;
    let (told, other) = (Told::of("Behind a door"), Told::of("Elsewhere"));
    let mut forged = told.name.json.clone();
    forged["depth"] = json!(77);
    let topic = json!({"topic": "Not proved, and nothing that must be"});
    let topic = stripped(&sealed(
        &RoomVersionId::V12,
        draft(("m.room.topic", ""), topic, &[&told.create]),
    ));
    let room_id = told.room_id.clone();
    let user_id = anna.user_id.clone();
    peers.follow(move |asked: &Asked<'_>| {
        let rest = asked.path.strip_prefix("/_matrix/federation/v1/")?;
        if rest.starts_with("make_knock/") {
            let content = json!({"membership": "knock"});
            let mut event = draft(("m.room.member", &user_id), content, &[&told.name]);
            event["room_id"] = json!(told.room_id);
            event["sender"] = json!(user_id);
            let template = json!({"room_version": "12", "event": event});
            return Some(Reply::Json(200, template));
        }
        let state = json!([
            told.create.json,
            stripped(&other.create),
            forged,
            other.name.json,
            topic
        ]);
        rest.starts_with("send_knock/")
            .then(|| Reply::Json(200, json!({ "knock_room_state": state })))
    });
    let path = format!("/_matrix/client/v3/knock/{}?via={NEAR}", encode(&room_id));
    anna.post(&path, json!({})).await.ok();
    let is_told = |synced: &Value| synced["rooms"]["knock"][&room_id].is_object();
    let synced = synced_until(&anna, is_told).await;
    let shown = &synced["rooms"]["knock"][&room_id]["knock_state"]["events"];
    let shown = shown.as_array().expect("stripped state").iter();
    let types: Vec<_> = shown.filter_map(|event| event["type"].as_str()).collect();
    assert_eq!(types, ["m.room.create", "m.room.topic", "m.room.member"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn others_are_told_by_whole_events() {
    let peers = Peers::start(&[NEAR]).await;
    let server = start(&peers).await;
    let anna = server.register("anna").await;
    let bodies: Arc<Mutex<Vec<Value>>> = Arc::default();
    let seen = bodies.clone();
    peers.follow(move |asked: &Asked<'_>| {
        if !asked.path.starts_with("/_matrix/federation/v2/invite/") {
            return None;
        }
        let event = &asked.body["event"];
        if event["state_key"] == "@dora:near.test" {
            let refusal = json!({"errcode": "M_INVALID_PARAM", "error": "what is this?"});
            return Some(Reply::Json(400, refusal));
        }
        seen.lock().push(asked.body.clone());
        let rules = RoomVersionId::V12.rules()?;
        let mut event: CanonicalJsonObject = serde_json::from_value(event.clone()).ok()?;
        let signer = &env(NEAR).identity.signer;
        sign_event(NEAR, signer, &mut event, &rules.redaction).ok()?;
        let event = serde_json::to_value(&event).ok()?;
        Some(Reply::Json(200, json!({ "event": event })))
    });
    let wish = json!({"name": "Ours", "room_version": "12"});
    let room_id = anna.create_room(wish).await;
    let path = format!("/_matrix/client/v3/rooms/{}/invite", encode(&room_id));
    anna.post(&path, json!({"user_id": BOB})).await.ok();
    let bodies = bodies.lock().clone();
    let state = bodies[0]["invite_room_state"].as_array().expect("a list");
    let types: Vec<_> = state.iter().map(|event| event["type"].as_str()).collect();
    assert_eq!(types[..2], [Some("m.room.create"), Some("m.room.name")]);
    for event in state {
        assert!(event["hashes"]["sha256"].is_string(), "{event}");
        assert!(event["signatures"]["playhouse.test"].is_object(), "{event}");
        assert!(event["unsigned"].is_null(), "{event}");
    }
    let rules = RoomVersionId::V12.rules().expect("a known version");
    let create: CanonicalJsonObject = serde_json::from_value(state[0].clone()).expect("canonical");
    let hash = reference_hash(&create, &rules).expect("it can be hashed");
    assert_eq!(room_id, format!("!{hash}"));
    // That our server is not understood is not the client's fault.
    let refused = anna.post(&path, json!({"user_id": "@dora:near.test"}));
    refused.await.refused(502, "M_UNKNOWN");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_between_servers_is_not_the_clients_fault() {
    let peers = Peers::start(&[NEAR]).await;
    let server = start(&peers).await;
    let anna = server.register("anna").await;
    peers.follow(|asked: &Asked<'_>| {
        let is_handshake =
            asked.path.contains("/make_join/") || asked.path.contains("/make_knock/");
        let refusal = json!({"errcode": "M_INVALID_PARAM", "error": "what is this?"});
        is_handshake.then(|| Reply::Json(400, refusal))
    });
    for what in ["join", "knock"] {
        let room_id = encode("!room:near.test");
        let path = format!("/_matrix/client/v3/{what}/{room_id}?via={NEAR}");
        let refused = anna.post(&path, json!({})).await;
        refused.refused(502, "M_UNKNOWN");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_knocks_at_an_older_room_is_not_shown_what_is_forged() {
    let peers = Peers::start(&[NEAR]).await;
    let server = start(&peers).await;
    let anna = server.register("anna").await;
    let user_id = anna.user_id.clone();
    let room_id = "!door:near.test";
    let made = |event_type: &str, content: Value, room_id: &str| {
        let told = Told::of("Behind a door");
        let mut event = draft((event_type, ""), content, &[&told.create]);
        event["room_id"] = json!(room_id);
        sealed(&RoomVersionId::V11, event)
    };
    let create = made("m.room.create", json!({"room_version": "11"}), room_id);
    let name = made("m.room.name", json!({"name": "Behind a door"}), room_id);
    let topic = made(
        "m.room.topic",
        json!({"topic": "elsewhere"}),
        "!no:near.test",
    );
    let rules = json!({"join_rule": "knock"});
    let mut forged = made("m.room.join_rules", rules, room_id).json;
    forged["depth"] = json!(77);
    peers.follow(move |asked: &Asked<'_>| {
        let rest = asked.path.strip_prefix("/_matrix/federation/v1/")?;
        if rest.starts_with("make_knock/") {
            let content = json!({"membership": "knock"});
            let mut event = draft(("m.room.member", &user_id), content, &[&name]);
            event["room_id"] = json!(room_id);
            event["sender"] = json!(user_id);
            let template = json!({"room_version": "11", "event": event});
            return Some(Reply::Json(200, template));
        }
        let state = json!([stripped(&create), name.json, forged, topic.json]);
        rest.starts_with("send_knock/")
            .then(|| Reply::Json(200, json!({ "knock_room_state": state })))
    });
    let path = format!("/_matrix/client/v3/knock/{}?via={NEAR}", encode(room_id));
    anna.post(&path, json!({})).await.ok();
    let is_told = |synced: &Value| synced["rooms"]["knock"][room_id].is_object();
    let synced = synced_until(&anna, is_told).await;
    let shown = &synced["rooms"]["knock"][room_id]["knock_state"]["events"];
    let shown = shown.as_array().expect("stripped state").iter();
    let mut types: Vec<_> = shown.filter_map(|event| event["type"].as_str()).collect();
    types.sort_unstable();
    assert_eq!(types, ["m.room.create", "m.room.member", "m.room.name"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invite_does_not_make_us_ask_many_servers() {
    let peers = Peers::start(&[NEAR]).await;
    let server = start(&peers).await;
    let anna = server.register("anna").await;
    let told = Told::of("Crowded");
    let mut state = vec![told.create.json.clone(), told.name.json.clone()];
    for number in 0..20 {
        let mut event = told.name.json.clone();
        let name = format!("dead{number}.test");
        event["sender"] = json!(format!("@somebody:{name}"));
        event["signatures"] = json!({ name: event["signatures"][NEAR] });
        state.push(event);
    }
    let answer = told.invite(&anna, Some(Value::from(state))).await;
    let told = answer.refused(400, "M_INVALID_PARAM");
    assert_eq!(told["error"], "invite_room_state: too many servers made it");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_server_is_invited_in_the_old_way() {
    let peers = Peers::start(&[NEAR]).await;
    let server = start(&peers).await;
    let anna = server.register("anna").await;
    peers.follow(|asked: &Asked<'_>| {
        if asked.path.starts_with("/_matrix/federation/v2/invite/") {
            let refusal = json!({"errcode": "M_UNKNOWN", "error": "what is this?"});
            return Some(Reply::Json(400, refusal));
        }
        if !asked.path.starts_with("/_matrix/federation/v1/invite/") {
            return None;
        }
        let rules = RoomVersionId::V1.rules()?;
        let mut event: CanonicalJsonObject = serde_json::from_value(asked.body.clone()).ok()?;
        let signer = &env(NEAR).identity.signer;
        sign_event(NEAR, signer, &mut event, &rules.redaction).ok()?;
        let event = serde_json::to_value(&event).ok()?;
        Some(Reply::Json(200, json!([200, { "event": event }])))
    });
    for (version, is_invited) in [("1", true), ("6", false)] {
        let wish = json!({"name": "Ours", "room_version": version});
        let room_id = anna.create_room(wish).await;
        let path = format!("/_matrix/client/v3/rooms/{}/invite", encode(&room_id));
        let answer = anna.post(&path, json!({"user_id": BOB})).await;
        assert_eq!(answer.status == 200, is_invited, "{}", answer.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_there_is_not_invited() {
    let peers = Peers::start(&[NEAR]).await;
    let server = start(&peers).await;
    let anna = server.register("anna").await;
    let told = Told::of("Empty");
    let whose = ("m.room.member", "@nobody:playhouse.test");
    let mut event = draft(whose, json!({"membership": "invite"}), &[&told.name]);
    event["room_id"] = json!(told.room_id);
    let event = sealed(&RoomVersionId::V12, event);
    let whole = (event, Some(told.state()));
    let answer = invite(&anna, (&told.room_id, "12"), whole).await;
    answer.refused(403, "M_FORBIDDEN");
}

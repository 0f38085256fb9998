//! Numbers that canonical JSON cannot say: part of rooms of versions 1 to 5, nothing in those of later ones.

use playhouse_schema::chain::digest;
use reqwest::Method;
use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, RoomVersionId,
    canonical_json::RedactingSerializer,
    room_version_rules::RoomVersionRules,
    serde::{
        Base64,
        base64::{Standard, UrlSafe},
    },
    signatures::KeyPair as _,
};
use serde_json::{Value, json};

use super::EVIL;
use crate::{
    client::stage::fresh,
    harness::{
        Client, Options, Peers, TestServer,
        client::{Answer, encode},
        made::now_ms,
        peer::{ask_as, env, finish},
        server::SERVER_NAME,
    },
};

const EVE: &str = "@eve:evil.test";

/// A room of ours with a user of another server.
struct Scene {
    server: TestServer,
    peers: Peers,
    anna: Client,
    room_id: String,
    rules: RoomVersionRules,
    last: String,
}

impl Scene {
    async fn open(version: &str) -> Self {
        let peers = Peers::start(&[EVIL]).await;
        let server = TestServer::start_with(Options {
            environment: peers.environment(),
            ..Options::default()
        })
        .await;
        let anna = server.register("anna").await;
        let powers = json!({"users": {&anna.user_id: 100, EVE: 100}});
        let wish = json!({"preset": "public_chat", "room_version": version, "power_level_content_override": powers});
        let room_id = anna.create_room(wish).await;
        let (room, user) = (encode(&room_id), encode(EVE));
        let path = format!("/_matrix/federation/v1/make_join/{room}/{user}?ver={version}");
        let made = ask_as(EVIL, &anna, (Method::GET, &path), None).await.ok();
        let join = finish(EVIL, &made, "join");
        let last = join.event_id.to_string();
        let path = format!("/_matrix/federation/v2/send_join/{room}/{}", encode(&last));
        let event = Some(join.json.get());
        ask_as(EVIL, &anna, (Method::PUT, &path), event).await.ok();
        let version = RoomVersionId::try_from(version).expect("a room version");
        Self {
            server,
            peers,
            anna,
            room_id,
            rules: version.rules().expect("a known version"),
            last,
        }
    }

    /// An event of the other server as it travels, with its ID. In the content, `"<1.5>"` stands for the number.
    async fn event(&self, wish: Value) -> (String, String) {
        let state = self.anna.look(&self.room_id, "state").await.ok();
        let state = state.as_array().expect("a state");
        let authorising = state.iter().filter(|event| {
            let is_own = event["type"] == "m.room.member" && event["state_key"] == EVE;
            is_own || event["type"] == "m.room.create" || event["type"] == "m.room.power_levels"
        });
        let authorising: Vec<_> = authorising.map(|event| &event["event_id"]).collect();
        let mut event = json!({
            "sender": EVE, "room_id": self.room_id, "prev_events": [self.last], "auth_events": authorising, "depth": 100,
            "origin_server_ts": now_ms(), "type": "m.room.message",
        });
        for (key, value) in wish.as_object().expect("an object") {
            event[key] = value.clone();
        }
        self.sealed(event)
    }

    fn sealed(&self, event: Value) -> (String, String) {
        let mut event: CanonicalJsonObject = serde_json::from_value(event).expect("canonical");
        let hashed = RedactingSerializer::new().serialize(&event).expect("JSON");
        let hash = digest(loose(&hashed).as_bytes()).to_vec();
        let hash = Base64::<Standard>::new(hash).encode();
        event.insert("hashes".to_owned(), object("sha256", hash));
        let redacted = RedactingSerializer::new().rules(&self.rules.redaction);
        let redacted = loose(&redacted.serialize(&event).expect("JSON"));
        let signature = env(EVIL).identity.signer.sign(redacted.as_bytes());
        let signature = object("ed25519:peer", signature.base64());
        let signatures = CanonicalJsonObject::from([(EVIL.to_owned(), signature)]);
        event.insert("signatures".to_owned(), signatures.into());
        let id = digest(redacted.as_bytes()).to_vec();
        let id = format!("${}", Base64::<UrlSafe>::new(id).encode());
        (id, loose(&CanonicalJsonValue::Object(event).to_string()))
    }

    /// Has the other server send events, by their text.
    async fn send(&self, events: &[&str]) -> Answer {
        let path = format!("/_matrix/federation/v1/send/{}", fresh("txn"));
        let body = format!(r#"{{"pdus":[{}]}}"#, events.join(","));
        let request = format!(
            r#"{{"content":{body},"destination":"{SERVER_NAME}","method":"PUT","origin":"{EVIL}","uri":"{path}"}}"#
        );
        let signature = env(EVIL).identity.signer.sign(request.as_bytes());
        let header = format!(
            "X-Matrix origin=\"{EVIL}\",destination=\"{SERVER_NAME}\",key=\"ed25519:peer\",sig=\"{}\"",
            signature.base64()
        );
        let headers = [
            ("authorization", header.as_str()),
            ("content-type", "application/json"),
        ];
        let answer = self.anna.nobody();
        let answer = answer.with_headers(Method::PUT, &path, &headers, body.into_bytes());
        answer.await
    }

    async fn shown(&self, event_id: &str) -> Answer {
        let path = format!("event/{}", encode(event_id));
        self.anna.look(&self.room_id, &path).await
    }

    /// Has our user send a message with a number.
    async fn say(&self, number: Value) -> Answer {
        let room = encode(&self.room_id);
        let transaction = fresh("said");
        let path = format!("/_matrix/client/v3/rooms/{room}/send/m.room.message/{transaction}");
        let body = json!({"msgtype": "m.text", "body": transaction, "number": number});
        self.anna.put(&path, body).await
    }
}

fn object(key: &str, text: String) -> CanonicalJsonValue {
    let text = CanonicalJsonValue::String(text);
    CanonicalJsonObject::from([(key.to_owned(), text)]).into()
}

fn loose(text: &str) -> String {
    text.replace("\"<", "").replace(">\"", "")
}

fn message() -> Value {
    json!({"content": {"body": "numbers", "msgtype": "m.text", "whole": "<1.0>", "large": "<10000000000.0>", "huge": "<1e+16>",
        "integer": "<1152921504606846976>", "half": ["<1.5>", 2, "<-0.5>"]}})
}

#[tokio::test(flavor = "multi_thread")]
async fn old_rooms_have_them() {
    let mut scene = Scene::open("5").await;
    let (id, text) = scene.event(message()).await;
    let told = scene.send(&[&text]).await.ok();
    assert_eq!(told["pdus"], json!({&id: {}}));
    // Clients see them digit by digit, and so do other servers.
    let sent: Value = serde_json::from_str(&text).expect("JSON");
    let shown = scene.shown(&id).await;
    let half = br#""half":[1.5,2,-0.5]"#;
    assert!(shown.bytes.windows(half.len()).any(|part| part == half));
    assert_eq!(shown.ok()["content"], sent["content"]);
    let path = format!("/_matrix/federation/v1/event/{}", encode(&id));
    let told = ask_as(EVIL, &scene.anna, (Method::GET, &path), None).await;
    let bytes = String::from_utf8(told.bytes).expect("UTF-8");
    assert!(bytes.contains(&text), "{bytes}");
    // What does not fit its hash is redacted as ever.
    let (other, text) = scene.event(message()).await;
    let changed = text.replace("1e+16", "2e+16");
    let told = scene.send(&[&changed]).await.ok();
    assert_eq!(told["pdus"], json!({&other: {}}));
    assert_eq!(scene.shown(&other).await.ok()["content"], json!({}));
    // Power levels count without what stands behind the point.
    scene.last = id;
    let users = json!({&scene.anna.user_id: 100, EVE: 100, "@carl:playhouse.test": "<50.57>"});
    let powers = json!({"type": "m.room.power_levels", "state_key": "", "content": {"users": users, "ban": "<49.9>"}});
    let (powers, text) = scene.event(powers).await;
    let told = scene.send(&[&text]).await.ok();
    assert_eq!(told["pdus"], json!({&powers: {}}));
    let carl = scene.server.register("carl").await;
    carl.join(&scene.room_id).await;
    let topic = json!({"topic": "fifty is enough"});
    carl.set_state(&scene.room_id, "m.room.topic", "", topic)
        .await
        .ok();
    let room = encode(&scene.room_id);
    let path = format!("/_matrix/client/v3/rooms/{room}/ban");
    let banned = json!({"user_id": "@dora:evil.test"});
    carl.post(&path, banned).await.ok();
    // Our users may send them, too, and other servers get them as they are hashed.
    scene.say(json!(1e16)).await.ok();
    scene.say(json!(1_u64 << 60)).await.ok();
    let is_number = |number: Value| move |event: &Value| event["content"]["number"] == number;
    scene.peers.await_event(EVIL, is_number(json!(1e16))).await;
    let large = is_number(json!(1_u64 << 60));
    scene.peers.await_event(EVIL, large).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn later_rooms_do_not() {
    let scene = Scene::open("6").await;
    let (odd, text) = scene.event(message()).await;
    let fine = json!({"content": {"body": "no numbers", "msgtype": "m.text"}});
    let (fine, good) = scene.event(fine).await;
    let told = scene.send(&[&text, &good]).await.ok();
    assert_eq!(told["pdus"], json!({&fine: {}}));
    scene.shown(&fine).await.ok();
    scene.shown(&odd).await.refused(404, "M_NOT_FOUND");
    for number in [json!(1.5), json!(1e10), json!(1_u64 << 60)] {
        scene.say(number).await.refused(400, "M_BAD_JSON");
    }
    scene.say(json!(5)).await.ok();
}

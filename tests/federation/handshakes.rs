//! Other servers bring their users into rooms, and out of them again.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    client::{
        props::text,
        stage::{fresh, on_own_servers},
    },
    harness::{
        Client, Peers, TestServer,
        client::{Answer, encode},
        peer::{ask_as, finish},
    },
};

const NEAR: &str = "near.test";
const FAR: &str = "far.test";

async fn with_peers(play: impl AsyncFn(&mut TestServer, &Peers)) {
    let peers = Peers::start(&[NEAR, FAR]).await;
    let environment = peers.environment();
    let environment: Vec<(&str, &str)> = environment
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    on_own_servers(&environment, async |server| play(server, &peers).await).await;
}

/// Room versions that the other servers know.
const VERSIONS: &str = "ver=10&ver=11&ver=12";

async fn make(client: &Client, what: &str, (room_id, user_id): (&str, &str)) -> Answer {
    let query = if what == "leave" { "" } else { VERSIONS };
    let (room, user) = (encode(room_id), encode(user_id));
    let path = format!("/_matrix/federation/v1/make_{what}/{room}/{user}?{query}");
    let name = user_id.split_once(':').expect("a user ID").1;
    ask_as(name, client, (Method::GET, &path), None).await
}

async fn send(
    client: &Client,
    (path, room_id): (&str, &str),
    (name, event_id, event): (&str, &str, &str),
) -> Answer {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let (room, event_id) = (encode(room_id), encode(event_id));
    let path = format!("/_matrix/federation/{path}/{room}/{event_id}?{query}");
    ask_as(name, client, (Method::PUT, &path), Some(event)).await
}

/// A whole handshake, and what it is answered with.
async fn shake(client: &Client, path: &str, whose: (&str, &str)) -> Answer {
    let what = path.split('_').nth(1).expect("a handshake");
    let what = what.split('?').next().expect("a handshake");
    let made = make(client, what, whose).await.ok();
    let name = whose.1.split_once(':').expect("a user ID").1;
    let pdu = finish(name, &made, what);
    let event = (name, pdu.event_id.as_str(), pdu.json.get());
    send(client, (path, whose.0), event).await
}

async fn membership(client: &Client, room_id: &str, user_id: &str) -> Value {
    let (room, user) = (encode(room_id), encode(user_id));
    let path = format!("/_matrix/client/v3/rooms/{room}/state/m.room.member/{user}");
    client.get(&path).await.body["membership"].clone()
}

fn is_member(event: &Value, user_id: &str, membership: &str) -> bool {
    event["state_key"] == user_id && event["content"]["membership"] == membership
}

fn types(events: &Value) -> Vec<String> {
    let events = events.as_array().expect("events").iter();
    events.map(|event| text(&event["type"])).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_come_and_go() {
    with_peers(async |server, peers| {
        let anna = server.register(&fresh("anna")).await;
        let (bob, carl) = ("@bob:near.test", "@carl:far.test");
        for version in ["10", "12"] {
            let wish = json!({"preset": "public_chat", "room_version": version});
            let room_id = anna.create_room(wish).await;
            let told = shake(&anna, "v2/send_join", (&room_id, bob)).await.ok();
            assert!(types(&told["state"]).contains(&"m.room.create".to_owned()));
            assert!(types(&told["state"]).contains(&"m.room.member".to_owned()));
            assert!(told["event"]["signatures"]["playhouse.test"].is_object());
            assert!(told["members_omitted"].is_null());
            assert_eq!(membership(&anna, &room_id, bob).await, "join");
            anna.say(&room_id, "hello").await;
            peers
                .await_event(NEAR, |event| event["content"]["body"] == "hello")
                .await;
            let path = "v2/send_join?omit_members=true";
            let told = shake(&anna, path, (&room_id, carl)).await.ok();
            assert_eq!(told["members_omitted"], true);
            let servers = told["servers_in_room"].as_array().map(Vec::len);
            assert_eq!(servers, Some(2), "{told}");
            let joined = |event: &Value| {
                is_member(event, carl, "join")
                    && (version == "12") == (event["room_id"] == room_id.as_str())
            };
            let relayed = peers.await_event(NEAR, |event| {
                is_member(event, carl, "join") && event["room_id"] == room_id.as_str()
            });
            assert!(relayed.await["signatures"][FAR].is_object());
            assert!(!peers.received(FAR).iter().any(joined));
            let left = shake(&anna, "v1/send_leave", (&room_id, carl)).await.ok();
            assert_eq!(left, json!([200, {}]));
            peers
                .await_event(NEAR, |event| {
                    is_member(event, carl, "leave") && event["room_id"] == room_id.as_str()
                })
                .await;
            let told = shake(&anna, "v1/send_join", (&room_id, carl)).await.ok();
            assert_eq!(told[0], 200);
            assert!(types(&told[1]["auth_chain"]).contains(&"m.room.create".to_owned()));
            assert_eq!(membership(&anna, &room_id, carl).await, "join");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_knocks_is_told_what_the_room_is() {
    with_peers(async |server, peers| {
        let anna = server.register(&fresh("anna")).await;
        let bob = "@bob:near.test";
        let rules = json!({"type": "m.room.join_rules", "content": {"join_rule": "knock"}});
        let wish = json!({"name": "Behind a door", "initial_state": [rules]});
        let room_id = anna.create_room(wish).await;
        let refused = make(&anna, "join", (&room_id, bob)).await;
        refused.refused(403, "M_FORBIDDEN");
        let told = shake(&anna, "v1/send_knock", (&room_id, bob)).await.ok();
        let types = types(&told["knock_room_state"]);
        for wanted in ["m.room.create", "m.room.name", "m.room.join_rules"] {
            assert!(types.contains(&wanted.to_owned()), "{told}");
        }
        for event in told["knock_room_state"].as_array().expect("events") {
            assert!(event["hashes"]["sha256"].is_string(), "{event}");
        }
        assert_eq!(membership(&anna, &room_id, bob).await, "knock");
        let left = shake(&anna, "v2/send_leave", (&room_id, bob)).await.ok();
        assert_eq!(left, json!({}));
        assert_eq!(membership(&anna, &room_id, bob).await, "leave");
        assert!(peers.received(NEAR).is_empty());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_refused() {
    with_peers(async |server, _peers| {
        let anna = server.register(&fresh("anna")).await;
        let room_id = anna.create_room(json!({"preset": "public_chat"})).await;
        let bob = "@bob:near.test";
        let whose = (room_id.as_str(), bob);
        let foreign = format!(
            "/_matrix/federation/v1/make_join/{}/{}?{VERSIONS}",
            encode(&room_id),
            encode("@carl:far.test")
        );
        let answer = ask_as(NEAR, &anna, (Method::GET, &foreign), None).await;
        answer.refused(403, "M_FORBIDDEN");
        let old = format!(
            "/_matrix/federation/v1/make_join/{}/{}",
            encode(&room_id),
            encode(bob)
        );
        let answer = ask_as(NEAR, &anna, (Method::GET, &old), None).await;
        let told = answer.refused(400, "M_INCOMPATIBLE_ROOM_VERSION");
        assert_eq!(told["room_version"], "12");
        let nowhere = make(&anna, "join", ("!nowhere:playhouse.test", bob)).await;
        nowhere.refused(404, "M_NOT_FOUND");

        let made = make(&anna, "join", whose).await.ok();
        let pdu = finish(NEAR, &made, "join");
        let (id, event) = (pdu.event_id.as_str(), pdu.json.get());
        let join = ("v2/send_join", room_id.as_str());
        for (path, event_id, event, errcode) in [
            (join, "$another", event.to_owned(), "M_INVALID_PARAM"),
            (
                ("v2/send_leave", join.1),
                id,
                event.to_owned(),
                "M_INVALID_PARAM",
            ),
            (
                ("v1/send_knock", join.1),
                id,
                event.to_owned(),
                "M_INVALID_PARAM",
            ),
            (
                join,
                id,
                event.replace(NEAR, "elsewhere.test"),
                "M_INVALID_PARAM",
            ),
            (join, id, "{}".to_owned(), "M_BAD_JSON"),
            (join, id, "[]".to_owned(), "M_BAD_JSON"),
        ] {
            let answer = send(&anna, path, (NEAR, event_id, &event)).await;
            answer.refused(400, errcode);
        }
        let mut forged: Value = serde_json::from_str(event).expect("JSON");
        forged["signatures"][NEAR]["ed25519:peer"] = json!(STANDARD_NO_PAD.encode([1; 64]));
        let answer = send(&anna, join, (NEAR, id, &forged.to_string())).await;
        answer.refused(400, "M_INVALID_PARAM");
        send(&anna, join, (FAR, id, event))
            .await
            .refused(400, "M_INVALID_PARAM");
        assert!(membership(&anna, &room_id, bob).await.is_null());
        acl_denies(&anna, whose, (id, event)).await;
    })
    .await;
}

async fn acl_denies(client: &Client, whose: (&str, &str), (id, event): (&str, &str)) {
    let acl = json!({"allow": ["*"], "deny": [NEAR]});
    let set = client.set_state(whose.0, "m.room.server_acl", "", acl);
    set.await.ok();
    for what in ["join", "leave", "knock"] {
        let answer = make(client, what, whose).await;
        answer.refused(403, "M_FORBIDDEN");
    }
    let sent = send(client, ("v2/send_join", whose.0), (NEAR, id, event));
    sent.await.refused(403, "M_FORBIDDEN");
}

#[tokio::test(flavor = "multi_thread")]
async fn restricted_rooms_say_why_not() {
    with_peers(async |server, _peers| {
        let anna = server.register(&fresh("anna")).await;
        let bob = "@bob:near.test";
        let lobby = anna.create_room(json!({"preset": "public_chat"})).await;
        let restricted = async |allowed: &str, invite: i64| {
            let content = json!({
                "join_rule": "restricted",
                "allow": [{"type": "m.room_membership", "room_id": allowed}],
            });
            anna.create_room(json!({
                "room_version": "10",
                "initial_state": [{"type": "m.room.join_rules", "content": content}],
                "power_level_content_override": {"invite": invite},
            }))
            .await
        };
        let unknown = restricted("!unknown:far.test", 0).await;
        let answer = make(&anna, "join", (&unknown, bob)).await;
        answer.refused(400, "M_UNABLE_TO_AUTHORISE_JOIN");
        let open = restricted(&lobby, 0).await;
        let answer = make(&anna, "join", (&open, bob)).await;
        answer.refused(403, "M_FORBIDDEN");
        shake(&anna, "v2/send_join", (&lobby, bob)).await.ok();
        let told = shake(&anna, "v2/send_join", (&open, bob)).await.ok();
        let voucher = &told["event"]["content"]["join_authorised_via_users_server"];
        assert_eq!(voucher, anna.user_id.as_str());
        let nobody_invites = restricted(&lobby, 101).await;
        let answer = make(&anna, "join", (&nobody_invites, bob)).await;
        answer.refused(400, "M_UNABLE_TO_GRANT_JOIN");
    })
    .await;
}

/// What the identity server signs.
fn signed(mxid: &str, token: &str) -> Value {
    let key = Ed25519KeyPair::from_seed_unchecked(&[3; 32]).expect("a key");
    let signature = key.sign(json!({"mxid": mxid, "token": token}).to_string().as_bytes());
    let signature = STANDARD_NO_PAD.encode(signature.as_ref());
    json!({"mxid": mxid, "token": token, "signatures": {"id.test": {"ed25519:0": signature}}})
}

#[tokio::test(flavor = "multi_thread")]
async fn invites_to_addresses_are_carried_on() {
    with_peers(async |server, _peers| {
        let anna = server.register(&fresh("anna")).await;
        let newcomer = server.register(&fresh("newcomer")).await;
        let room_id = anna.create_room(json!({})).await;
        let key = Ed25519KeyPair::from_seed_unchecked(&[3; 32]).expect("a key");
        let key = STANDARD_NO_PAD.encode(key.public_key().as_ref());
        let content = json!({
            "display_name": "n...@e...", "key_validity_url": "https://id.test/valid", "public_key": key,
            "public_keys": [{"public_key": key, "key_validity_url": "https://id.test/valid"}],
        });
        anna.set_state(&room_id, "m.room.third_party_invite", "t1", content)
            .await
            .ok();
        let onbind = "/_matrix/federation/v1/3pid/onbind";
        let bound = |signed: Value| {
            json!({
                "medium": "email", "address": "n@example.org", "mxid": newcomer.user_id,
                "invites": [{
                    "medium": "email", "address": "n@example.org", "mxid": newcomer.user_id,
                    "room_id": room_id, "sender": anna.user_id, "signed": signed,
                }],
            })
        };
        let nobody = server.client();
        let mut forged = signed(&newcomer.user_id, "t1");
        forged["signatures"]["id.test"]["ed25519:0"] = json!(STANDARD_NO_PAD.encode([1; 64]));
        nobody.put(onbind, bound(forged)).await.ok();
        let other = signed(&newcomer.user_id, "t2");
        nobody.put(onbind, bound(other)).await.ok();
        assert!(membership(&anna, &room_id, &newcomer.user_id).await.is_null());
        let good = signed(&newcomer.user_id, "t1");
        nobody.post(onbind, bound(good)).await.ok();
        assert_eq!(membership(&anna, &room_id, &newcomer.user_id).await, "invite");
        newcomer.join(&room_id).await;
        let mut stranger = bound(signed("@nobody:playhouse.test", "t1"));
        stranger["mxid"] = json!("@nobody:playhouse.test");
        nobody
            .put(onbind, stranger)
            .await
            .refused(404, "M_NOT_FOUND");
        nobody
            .put(onbind, json!({"mxid": newcomer.user_id}))
            .await
            .refused(400, "M_MISSING_PARAM");

        let path = format!(
            "/_matrix/federation/v1/exchange_third_party_invite/{}",
            encode(&room_id)
        );
        let exchange = |target: &str, signed: Value| {
            let invite = json!({"display_name": "b", "signed": signed});
            json!({
                "type": "m.room.member", "room_id": room_id, "sender": anna.user_id, "state_key": target,
                "content": {"membership": "invite", "third_party_invite": invite},
            })
            .to_string()
        };
        let bob = "@bob:near.test";
        for (name, event, status, errcode) in [
            (FAR, exchange(bob, signed(bob, "t1")), 403, "M_FORBIDDEN"),
            (NEAR, exchange(bob, signed("@c:near.test", "t1")), 400, "M_INVALID_PARAM"),
            (NEAR, "{}".to_owned(), 400, "M_MISSING_PARAM"),
        ] {
            let answer = ask_as(name, &nobody, (Method::PUT, &path), Some(&event)).await;
            answer.refused(status, errcode);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rooms_that_everybody_here_has_left_are_not_told_of() {
    with_peers(async |server, _| {
        let anna = server.register(&fresh("anna")).await;
        let bob = "@bob:near.test";
        let space = json!({"preset": "public_chat", "creation_content": {"type": "m.space"}});
        let root = anna.create_room(space).await;
        let open = anna.create_room(json!({"preset": "public_chat"})).await;
        let secret = anna.create_room(json!({"preset": "private_chat"})).await;
        for child in [&open, &secret] {
            let content = json!({"via": ["playhouse.test"]});
            let put = anna.set_state(&root, "m.space.child", child, content);
            put.await.ok();
        }
        shake(&anna, "v2/send_join", (&open, bob)).await.ok();
        let tree = async |room_id: &str| {
            let path = format!("/_matrix/federation/v1/hierarchy/{}", encode(room_id));
            ask_as(NEAR, &anna, (Method::GET, &path), None).await
        };
        let seen = tree(&root).await.ok();
        assert_eq!(seen["children"][0]["room_id"], open);
        assert_eq!(seen["inaccessible_children"], json!([secret]));
        tree(&open).await.ok();
        anna.leave(&open).await;
        anna.leave(&secret).await;
        let seen = tree(&root).await.ok();
        let nothing = |list: &Value| list.as_array().is_none_or(Vec::is_empty);
        assert!(nothing(&seen["children"]), "{seen}");
        assert!(nothing(&seen["inaccessible_children"]), "{seen}");
        tree(&open).await.refused(404, "M_NOT_FOUND");
    })
    .await;
}

//! How accounts stand with the server: who is heard by nobody, whose requests may come how fast, who accepted what.

use std::{
    ops::RangeInclusive,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::administrator;
use crate::{
    client::stage::on_own_servers,
    harness::{Client, client::encode, nodes_wished},
};

fn at(user_id: &str, what: &str) -> String {
    format!("/_synapse/admin/v1/users/{}/{what}", encode(user_id))
}

fn room(room_id: &str, what: &str) -> String {
    format!("/_matrix/client/v3/rooms/{}/{what}", encode(room_id))
}

/// The texts that somebody reads in a room.
async fn texts(client: &Client, room_id: &str) -> Vec<String> {
    let history = client.history(room_id).await;
    let texts = history
        .iter()
        .filter_map(|event| event["content"]["body"].as_str());
    texts.map(ToOwned::to_owned).collect()
}

async fn member_name(client: &Client, room_id: &str, user_id: &str) -> Value {
    let path = room(room_id, &format!("state/m.room.member/{}", encode(user_id)));
    client.get(&path).await.ok()["displayname"].clone()
}

/// Everything that looks done and is not.
async fn speak(troll: &Client, room_id: &str, event_id: &str) {
    let pretended = [
        troll.put(&room(room_id, "send/m.room.message/t1"), json!({"msgtype": "m.text", "body": "spam"})).await,
        troll.put(&room(room_id, "send/m.reaction/t2"), json!({"m.relates_to": {"rel_type": "m.annotation", "event_id": event_id, "key": "x"}})).await,
        troll.set_state(room_id, "m.room.topic", "", json!({"topic": "spam"})).await,
        troll.put(&room(room_id, &format!("redact/{}/t3", encode(event_id))), json!({})).await,
        troll.put(&room(room_id, "send/m.room.message/t4?org.matrix.msc4140.delay=1"), json!({"msgtype": "m.text", "body": "later"})).await,
    ];
    for answer in &pretended[..4] {
        let event_id = answer.body["event_id"].as_str().expect("an event ID");
        assert!(
            event_id.starts_with('$') && event_id.len() == 44,
            "{event_id}"
        );
    }
    assert_eq!(pretended[4].status, 200, "{}", pretended[4].body);
}

/// A room in which both may do everything.
async fn equals(anna: &Client, troll: &Client) -> String {
    let room_id = anna.create_room(json!({"preset": "public_chat"})).await;
    troll.join(&room_id).await;
    // The maker of the room stands above all levels.
    let levels = json!({"users": {&troll.user_id: 100}});
    anna.set_state(&room_id, "m.room.power_levels", "", levels)
        .await
        .ok();
    room_id
}

async fn call_oneself(troll: &Client, name: &str) {
    let user_id = encode(&troll.user_id);
    let path = format!("/_matrix/client/v3/profile/{user_id}/displayname");
    troll.put(&path, json!({"displayname": name})).await.ok();
}

/// What is no event looks done too.
async fn trouble(troll: &Client, room_id: &str, bert: &Client) {
    call_oneself(troll, "Spam").await;
    let invite = json!({"user_id": bert.user_id});
    troll.post(&room(room_id, "invite"), invite).await.ok();
    let typing = room(room_id, &format!("typing/{}", encode(&troll.user_id)));
    let types = json!({"typing": true, "timeout": 60000});
    troll.put(&typing, types).await.ok();
    let upgrade = room(room_id, "upgrade");
    let upgraded = troll
        .post(&upgrade, json!({"new_version": "11"}))
        .await
        .ok();
    let new_id = upgraded["replacement_room"].as_str();
    assert!(new_id.is_some_and(|id| id.starts_with('!')), "{upgraded}");
    let own = troll.create_room(json!({"invite": [bert.user_id]})).await;
    troll.get(&room(&own, "state/m.room.create")).await.ok();
    let nonsense = room(room_id, "send/m.room.message/t9");
    troll
        .put(&nonsense, json!([]))
        .await
        .refused(400, "M_BAD_JSON");
}

/// Others have heard nothing but what was said before.
async fn hear_nothing(anna: &Client, room_id: &str, bert: &Client) {
    // What comes after has been seen, so what was dropped would have been.
    anna.say(room_id, "after").await;
    assert_eq!(texts(anna, room_id).await, ["before", "after"]);
    let sync = bert.sync(None, "").await;
    assert_eq!(sync["rooms"]["invite"], Value::Null, "{sync}");
    let sync = anna.sync(None, "").await;
    let ephemeral = sync["rooms"]["join"][room_id]["ephemeral"]["events"].to_string();
    assert!(!ephemeral.contains("troll"), "{ephemeral}");
    anna.get(&room(room_id, "state/m.room.topic"))
        .await
        .refused(404, "M_NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_shadow_banned_is_heard_by_nobody() {
    on_own_servers(&[], async |server| {
        let boss = administrator(&server.client(), "boss").await;
        let [anna, bert, troll] = [
            server.register("anna").await,
            server.register("bert").await,
            server.register("troll").await,
        ];
        let room_id = equals(&anna, &troll).await;
        let before = troll.say(&room_id, "before").await;
        let path = at(&troll.user_id, "shadow_ban");
        anna.post(&path, json!({}))
            .await
            .refused(403, "M_FORBIDDEN");
        boss.post(&path, json!({})).await.ok();
        boss.post(&path, json!({})).await.ok();
        let shown = format!("/_synapse/admin/v2/users/{}", encode(&troll.user_id));
        assert_eq!(boss.get(&shown).await.ok()["shadow_banned"], true);
        speak(&troll, &room_id, &before).await;
        server.restart();
        let [boss, anna, bert, troll] =
            [&boss, &anna, &bert, &troll].map(|client| client.at(server.base()));
        speak(&troll, &room_id, &before).await;
        trouble(&troll, &room_id, &bert).await;
        hear_nothing(&anna, &room_id, &bert).await;
        boss.delete(&path).await.ok();
        troll.say(&room_id, "again").await;
        assert_eq!(texts(&anna, &room_id).await, ["before", "after", "again"]);
        assert_ne!(member_name(&anna, &room_id, &troll.user_id).await, "Spam");
        // The next change reaches everybody.
        call_oneself(&troll, "Tom").await;
        let end = Instant::now() + Duration::from_secs(120);
        while member_name(&anna, &room_id, &troll.user_id).await != "Tom" {
            assert!(Instant::now() < end, "the name did not come");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

/// So many messages pass at the rate of all: each node counts what it is asked.
fn at_rate() -> RangeInclusive<usize> {
    3..=3 * nodes_wished()
}

/// How many messages of a few at once pass.
async fn passed(client: &Client, room_id: &str) -> usize {
    let mut passed = 0;
    for number in 0..8 {
        let path = room(room_id, &format!("send/m.room.message/r{number}"));
        let answer = client
            .put(&path, json!({"msgtype": "m.text", "body": "x"}))
            .await;
        match answer.status {
            200 => passed += 1,
            _ => {
                answer.refused(429, "M_LIMIT_EXCEEDED");
            }
        }
    }
    passed
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_has_another_rate() {
    let settings = [
        ("PLAYHOUSE_RATE_LIMITS", "on"),
        (
            "PLAYHOUSE_LIMITS_RATE_MESSAGE",
            "{ per_second = 0.001, burst = 3 }",
        ),
    ];
    on_own_servers(&settings, async |server| {
        let boss = administrator(&server.client(), "boss").await;
        let anna = server.register("anna").await;
        let room_id = anna.create_room(json!({})).await;
        let path = at(&anna.user_id, "override_ratelimit");
        assert_eq!(boss.get(&path).await.ok(), json!({}));
        assert!(at_rate().contains(&passed(&anna, &room_id).await));
        let free = json!({"messages_per_second": 0, "burst_count": 0});
        assert_eq!(boss.post(&path, json!({})).await.ok(), free);
        assert_eq!(boss.get(&path).await.ok(), free);
        assert_eq!(passed(&anna, &room_id).await, 8);
        for wrong in [
            json!({"messages_per_second": -1}),
            json!({"burst_count": "many"}),
        ] {
            boss.post(&path, wrong).await.refused(400, "M_BAD_JSON");
        }
        server.restart();
        let [boss, anna] = [&boss, &anna].map(|client| client.at(server.base()));
        assert_eq!(boss.get(&path).await.ok(), free);
        assert_eq!(passed(&anna, &room_id).await, 8);
        boss.delete(&path).await.ok();
        assert_eq!(boss.get(&path).await.ok(), json!({}));
        assert!(at_rate().contains(&passed(&anna, &room_id).await));
        anna.get(&path).await.refused(403, "M_FORBIDDEN");
    })
    .await;
}

const ONE: &str = r#"[{ id = "privacy", version = "1.2", texts = { en = { name = "Privacy", url = "https://example.org/en" } } }]"#;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_accepted_is_kept() {
    on_own_servers(&[("PLAYHOUSE_CONSENT_POLICIES", ONE)], async |server| {
        let boss = administrator(&server.client(), "boss").await;
        let nobody = server.client();
        let path = "/_matrix/client/v3/register";
        let mut body = json!({"username": "anna", "password": "correct horse"});
        let session = nobody.post(path, body.clone()).await.body["session"].clone();
        body["auth"] = json!({"type": "m.login.terms", "session": session});
        let anna = nobody
            .clone()
            .with_session(&nobody.post(path, body).await.ok());
        for _ in 0..2 {
            let boss = boss.at(server.base());
            let shown = format!("/_synapse/admin/v2/users/{}", encode(&anna.user_id));
            let shown = boss.get(&shown).await.ok();
            assert_eq!(shown["consent_version"], "1.2");
            assert!(shown["consent_ts"].is_u64(), "{shown}");
            let own = format!("/_synapse/admin/v2/users/{}", encode(&boss.user_id));
            assert_eq!(boss.get(&own).await.ok()["consent_version"], Value::Null);
            server.restart();
        }
    })
    .await;
}

//! What operators may want of rooms, invites, passwords and keys.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{
    props::{room_path, text, user_path},
    stage::on_own_servers,
};
use crate::harness::{Client, client::encode};

async fn rooms_of(client: &Client) -> Vec<String> {
    let joined = client.get("/_matrix/client/v3/joined_rooms").await.ok();
    let joined = joined["joined_rooms"].as_array().expect("a list").clone();
    joined.iter().map(text).collect()
}

/// Waits for what follows by itself.
async fn eventually(holds: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !holds().await {
        assert!(Instant::now() < deadline, "it never came");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn is_encrypted(client: &Client, body: Value) -> bool {
    let room_id = client.create_room(body).await;
    let path = room_path(&room_id, "state/m.room.encryption");
    client.get(&path).await.status == 200
}

#[tokio::test(flavor = "multi_thread")]
async fn rooms_are_encrypted_by_default() {
    let key = "PLAYHOUSE_ROOMS_ENCRYPTED_BY_DEFAULT";
    on_own_servers(&[(key, "invite")], async |server| {
        let anna = server.register("anna").await;
        assert!(is_encrypted(&anna, json!({})).await);
        assert!(is_encrypted(&anna, json!({"preset": "trusted_private_chat"})).await);
        assert!(!is_encrypted(&anna, json!({"visibility": "public"})).await);
        assert!(!is_encrypted(&anna, json!({"preset": "public_chat"})).await);
        assert!(!is_encrypted(&anna, json!({"creation_content": {"type": "m.space"}})).await);
        server.set(key, "all");
        server.restart();
        let anna = anna.at(server.base());
        assert!(is_encrypted(&anna, json!({"preset": "public_chat"})).await);
        let own = json!({"type": "m.room.encryption", "content": {"algorithm": "org.example.own"}});
        let room_id = anna.create_room(json!({"initial_state": [own]})).await;
        let kept = anna
            .get(&room_path(&room_id, "state/m.room.encryption"))
            .await
            .ok();
        assert_eq!(kept["algorithm"], "org.example.own");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn new_accounts_come_into_rooms() {
    let settings = [
        (
            "PLAYHOUSE_REGISTRATION_AUTO_JOIN_ROOMS",
            "#hall:playhouse.test,#news:elsewhere.test",
        ),
        ("PLAYHOUSE_REGISTRATION_GUESTS", "true"),
    ];
    on_own_servers(&settings, async |server| {
        let anna = server.register("anna").await;
        let hall = anna
            .get(&format!(
                "/_matrix/client/v3/directory/room/{}",
                encode("#hall:playhouse.test")
            ))
            .await
            .ok();
        let hall = text(&hall["room_id"]);
        let bert = server.register("bert").await;
        assert_eq!(rooms_of(&bert).await, [hall.as_str()]);
        assert_eq!(rooms_of(&anna).await, [hall.as_str()]);
        let guest = server
            .client()
            .post("/_matrix/client/v3/register?kind=guest", json!({}))
            .await
            .ok();
        assert!(
            rooms_of(&server.client().with_session(&guest))
                .await
                .is_empty()
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn invites_are_accepted_by_themselves() {
    on_own_servers(
        &[("PLAYHOUSE_ROOMS_ACCEPT_INVITES", "direct")],
        async |server| {
            let [anna, bert] = [server.register("anna").await, server.register("bert").await];
            let direct = anna
                .create_room(json!({"invite": [bert.user_id], "is_direct": true}))
                .await;
            anna.create_room(json!({"invite": [bert.user_id]})).await;
            eventually(async || rooms_of(&bert).await == [direct.as_str()]).await;
            let chats = user_path(&bert.user_id, "account_data/m.direct");
            eventually(async || bert.get(&chats).await.body[&anna.user_id] == json!([direct]))
                .await;
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_is_forgotten() {
    let capabilities = "/_matrix/client/v3/capabilities";
    let capability = "m.forget_forced_upon_leave";
    let key = "PLAYHOUSE_ROOMS_FORGET_ON_LEAVE";
    on_own_servers(&[(key, "false")], async |server| {
        let [anna, bert] = [server.register("anna").await, server.register("bert").await];
        let before = anna.create_room(json!({"preset": "public_chat"})).await;
        let room_id = anna.create_room(json!({"preset": "public_chat"})).await;
        for room_id in [&before, &room_id] {
            bert.join(room_id).await;
        }
        bert.leave(&before).await;
        let told = bert.get(capabilities).await.ok();
        assert!(told["capabilities"][capability].is_null());
        server.set(key, "true");
        server.restart();
        let (anna, bert) = (anna.at(server.base()), bert.at(server.base()));
        let told = bert.get(capabilities).await.ok();
        assert_eq!(told["capabilities"][capability]["enabled"], true);
        let since = text(&bert.sync(None, "").await["next_batch"]);
        bert.leave(&room_id).await;
        let messages = room_path(&room_id, "messages?dir=b");
        eventually(async || bert.get(&messages).await.status == 403).await;
        // That it was left is told all the same.
        bert.sync_until(&since, "", |told| {
            told["rooms"]["leave"][&room_id].is_object()
        })
        .await;
        let all = format!("filter={}", encode(r#"{"room":{"include_leave":true}}"#));
        let left = bert.sync(None, &all).await["rooms"]["leave"].clone();
        assert!(left[&room_id].is_null(), "{left}");
        assert!(left[&before].is_object(), "{left}");
        // Who comes back and is thrown out forgets again.
        bert.join(&room_id).await;
        bert.get(&messages).await.ok();
        let ban = json!({"user_id": bert.user_id});
        anna.post(&room_path(&room_id, "ban"), ban).await.ok();
        eventually(async || bert.get(&messages).await.status == 403).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn syncs_tell_nothing_of_some_rooms() {
    let key = "PLAYHOUSE_ROOMS_EXCLUDE_FROM_SYNC";
    on_own_servers(&[(key, "")], async |server| {
        let anna = server.register("anna").await;
        let [told, silent] = [
            anna.create_room(json!({})).await,
            anna.create_room(json!({})).await,
        ];
        server.set(key, &silent);
        server.restart();
        let anna = anna.at(server.base());
        let first = anna.sync(None, "").await;
        let joined = &first["rooms"]["join"];
        assert!(
            joined[&told].is_object() && joined[&silent].is_null(),
            "{first}"
        );
        let list = json!({"ranges": [[0, 9]], "timeline_limit": 1, "required_state": []});
        let subscriptions = json!({&silent: {"timeline_limit": 1, "required_state": []}});
        let slide = json!({"lists": {"all": list}, "room_subscriptions": subscriptions});
        let path = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync";
        let slid = anna.post(path, slide).await.ok();
        assert_eq!(slid["lists"]["all"]["count"], 1);
        assert!(slid["rooms"][&told].is_object() && slid["rooms"][&silent].is_null());
        anna.say(&silent, "psst").await;
        let heard = anna.say(&told, "hello").await;
        let since = text(&first["next_batch"]);
        let next = anna.sync(Some(&since), "&timeout=60000").await;
        let timeline = &next["rooms"]["join"][&told]["timeline"]["events"];
        assert_eq!(timeline[0]["event_id"], heard, "{next}");
        assert!(next["rooms"]["join"][&silent].is_null(), "{next}");
        assert_eq!(rooms_of(&anna).await.len(), 2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn syncs_from_the_beginning_wait_for_each_other() {
    let settings = [
        ("PLAYHOUSE_LIMITS_INITIAL_SYNCS_MAX", "1"),
        ("PLAYHOUSE_LIMITS_INITIAL_SYNC_WAIT_MS", "60000"),
    ];
    on_own_servers(&settings, async |server| {
        let [anna, bert] = [server.register("anna").await, server.register("bert").await];
        let room_id = anna.create_room(json!({"preset": "public_chat"})).await;
        bert.join(&room_id).await;
        anna.now_in(&room_id).await;
        bert.now_in(&room_id).await;
        let all = (0..6).flat_map(|_| [anna.sync(None, ""), bert.sync(None, "")]);
        for answer in futures_util::future::join_all(all).await {
            assert!(answer["rooms"]["join"][&room_id].is_object(), "{answer}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_administrators_make_rooms_and_invite() {
    let settings = [
        ("PLAYHOUSE_ROOMS_MAKE", "admins"),
        ("PLAYHOUSE_ROOMS_INVITE", "admins"),
    ];
    on_own_servers(&settings, async |server| {
        let anna = server.register("anna").await;
        let create = "/_matrix/client/v3/createRoom";
        anna.post(create, json!({}))
            .await
            .refused(403, "M_FORBIDDEN");
        server.set("PLAYHOUSE_ROOMS_MAKE", "all");
        server.restart();
        let anna = anna.at(server.base());
        let bert = server.register("bert").await;
        let invite = json!({"invite": [bert.user_id]});
        anna.post(create, invite).await.refused(403, "M_FORBIDDEN");
        let room_id = anna.create_room(json!({})).await;
        let invite = json!({"user_id": bert.user_id});
        anna.post(&room_path(&room_id, "invite"), invite)
            .await
            .refused(403, "M_FORBIDDEN");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_follow_rules() {
    let settings = [
        ("PLAYHOUSE_REGISTRATION_PASSWORD_DIGIT", "true"),
        ("PLAYHOUSE_REGISTRATION_PASSWORD_UPPERCASE", "true"),
    ];
    on_own_servers(&settings, async |server| {
        let client = server.client();
        let rules = client.get("/_matrix/client/v3/password_policy").await.ok();
        assert_eq!(rules, json!({"m.minimum_length": 8, "m.require_digit": true, "m.require_uppercase": true}));
        for (password, fits) in [("Short1", false), ("longwithout1", false), ("Longwithout", false), ("Long with 1", true)] {
            let body = json!({"username": "anna", "password": password, "auth": {"type": "m.login.dummy"}});
            let answer = client.post("/_matrix/client/v3/register", body).await;
            if fits {
                answer.ok();
            } else {
                answer.refused(400, "M_WEAK_PASSWORD");
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_told_to_acquaintances_only() {
    on_own_servers(
        &[("PLAYHOUSE_LIMITS_KEYS_OF_SHARED_ROOMS_ONLY", "true")],
        async |server| {
            let [anna, bert, carl] = [
                server.register("anna").await,
                server.register("bert").await,
                server.register("carl").await,
            ];
            let room_id = anna.create_room(json!({"preset": "public_chat"})).await;
            bert.join(&room_id).await;
            let wanted =
                json!({"device_keys": {&anna.user_id: [], &bert.user_id: [], &carl.user_id: []}});
            let found = anna
                .post("/_matrix/client/v3/keys/query", wanted)
                .await
                .ok();
            let found = found["device_keys"].as_object().expect("an object");
            assert!(
                found.contains_key(&anna.user_id) && found.contains_key(&bert.user_id),
                "{found:?}"
            );
            assert!(!found.contains_key(&carl.user_id), "{found:?}");
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn observers_are_told_who_is_there() {
    let settings = [(
        "PLAYHOUSE_PRESENCE_OBSERVERS",
        "@watch:playhouse.test,@bot:elsewhere.test",
    )];
    on_own_servers(&settings, async |server| {
        let anna = server.register("anna").await;
        let ben = server.register("ben").await;
        let watch = server.register("watch").await;
        let sync = async |client: &Client, since: &str| {
            client
                .get(&format!("/_matrix/client/v3/sync?timeout=0{since}"))
                .await
                .ok()
        };
        let first = sync(&watch, "").await;
        let status = format!(
            "/_matrix/client/v3/presence/{}/status",
            encode(&anna.user_id)
        );
        anna.put(
            &status,
            json!({"presence": "unavailable", "status_msg": "out"}),
        )
        .await
        .ok();
        let told = |answer: &Value| {
            let events = answer["presence"]["events"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            events.iter().any(|event| {
                event["sender"] == anna.user_id.as_str() && event["content"]["status_msg"] == "out"
            })
        };
        let since = format!("&since={}", text(&first["next_batch"]));
        eventually(async || told(&sync(&watch, &since).await)).await;
        // One who comes later is told, too.
        let again = watch.login_again().await;
        eventually(async || told(&sync(&again, "").await)).await;
        watch.get(&status).await.ok();
        assert!(!told(&sync(&ben, "").await));
        ben.get(&status).await.refused(403, "M_FORBIDDEN");
    })
    .await;
}

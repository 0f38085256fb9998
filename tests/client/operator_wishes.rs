//! What operators may want of rooms, invites, passwords and keys.

use serde_json::{Value, json};

use super::{
    props::{room_path, text},
    stage::on_own_servers,
};
use crate::harness::{Client, client::encode};

async fn rooms_of(client: &Client) -> Vec<String> {
    let joined = client.get("/_matrix/client/v3/joined_rooms").await.ok();
    let joined = joined["joined_rooms"].as_array().expect("a list").clone();
    joined.iter().map(text).collect()
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
            assert_eq!(rooms_of(&bert).await, [direct]);
        },
    )
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

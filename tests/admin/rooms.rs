//! Rooms that administrators keep out and delete.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::{administrator, awaited, policies::synced};
use crate::{
    client::{
        props::{room_path, text},
        retention::is_stored,
        stage::on_own_servers,
    },
    harness::{Client, Town, client::encode},
};

const JOINED: &str = "/_matrix/client/v3/joined_rooms";

fn path(version: &str, room_id: &str, rest: &str) -> String {
    format!("/_synapse/admin/{version}/rooms/{}{rest}", encode(room_id))
}

async fn delete(boss: &Client, (version, room_id): (&str, &str), body: Value) -> Value {
    let path = path(version, room_id, "");
    let answer = boss.request(Method::DELETE, &path, Some(body)).await;
    answer.ok()
}

async fn deleted(boss: &Client, begun: &Value) -> Value {
    let path = format!(
        "/_synapse/admin/v2/rooms/delete_status/{}",
        text(&begun["delete_id"])
    );
    for _ in 0..2_400 {
        let told = boss.get(&path).await.ok();
        if told["status"] != "active" {
            return told;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it does not come to its end");
}

async fn joins(client: &Client, room: &str) -> crate::harness::client::Answer {
    let path = format!("/_matrix/client/v3/join/{}", encode(room));
    client.post(&path, json!({})).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_room_lets_nobody_in() {
    on_own_servers(&[], async |server| {
        let boss = administrator(&server.client(), "boss").await;
        let [anna, bert] = [server.register("anna").await, server.register("bert").await];
        let room_id = anna.create_room(json!({"preset": "public_chat"})).await;
        let block = path("v1", &room_id, "/block");
        let answer = anna.put(&block, json!({"block": true})).await;
        answer.refused(403, "M_FORBIDDEN");
        assert_eq!(boss.get(&block).await.ok(), json!({"block": false}));
        let answer = boss.put(&block, json!({"block": "x"})).await;
        answer.refused(400, "M_BAD_JSON");
        let answer = boss.put(&block, json!({"block": true})).await;
        assert_eq!(answer.ok(), json!({"block": true}));
        joins(&bert, &room_id).await.refused(403, "M_FORBIDDEN");
        server.restart();
        let [boss, anna, bert] = [&boss, &anna, &bert].map(|client| client.at(server.base()));
        let told = boss.get(&block).await.ok();
        assert_eq!(told, json!({"block": true, "user_id": boss.user_id}));
        joins(&bert, &room_id).await.refused(403, "M_FORBIDDEN");
        let room = format!("/_matrix/client/v3/rooms/{}", encode(&room_id));
        let invite = json!({"user_id": bert.user_id});
        let answer = anna.post(&format!("{room}/invite"), invite).await;
        answer.refused(403, "M_FORBIDDEN");
        let content = json!({"membership": "invite"});
        let answer = anna.set_state(&room_id, "m.room.member", &bert.user_id, content);
        answer.await.refused(403, "M_FORBIDDEN");
        // Who is in stays in.
        anna.say(&room_id, "hello").await;
        boss.put(&block, json!({"block": false})).await.ok();
        bert.join(&room_id).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_room_leaves_nothing_behind() {
    on_own_servers(&[], async |server| {
        let boss = administrator(&server.client(), "boss").await;
        let [anna, bert] = [server.register("anna").await, server.register("bert").await];
        let wish = json!({"preset": "public_chat", "name": "Dark corner", "visibility": "public", "room_alias_name": "corner"});
        let room_id = anna.create_room(wish).await;
        let alias = "#corner:playhouse.test";
        bert.join(&room_id).await;
        let event_id = anna.say(&room_id, "a dark secret").await;
        let since = bert.sync(None, "").await;
        let unknown = "/_synapse/admin/v2/rooms/delete_status/unknown";
        boss.get(unknown).await.refused(404, "M_NOT_FOUND");
        let status = path("v2", &room_id, "/delete_status");
        boss.get(&status).await.refused(404, "M_NOT_FOUND");
        let plain = path("v2", &room_id, "");
        anna.request(Method::DELETE, &plain, Some(json!({}))).await.refused(403, "M_FORBIDDEN");
        let body = json!({"new_room_user_id": "@nobody:else.where"});
        boss.request(Method::DELETE, &plain, Some(body)).await.refused(400, "M_INVALID_PARAM");
        let body = json!({"block": true, "new_room_user_id": boss.user_id, "room_name": "Hall", "message": "come in"});
        let begun = delete(&boss, ("v2", &room_id), body).await;
        // It goes on where it was.
        server.kill();
        server.start_again();
        let [boss, anna, bert] = [&boss, &anna, &bert].map(|client| client.at(server.base()));
        let told = deleted(&boss, &begun).await;
        assert_eq!(told["status"], "complete", "{told}");
        assert_eq!(told["room_id"], json!(room_id));
        let done = &told["shutdown_room"];
        assert_eq!(done["failed_to_kick_users"], json!([]));
        assert_eq!(done["local_aliases"], json!([alias]));
        let hall = &*text(&done["new_room_id"]);
        let all = boss.get(&status).await.ok();
        assert_eq!(all["results"], json!([told]));
        awaited(&anna, JOINED, |told| told["joined_rooms"] == json!([hall])).await;
        let is_there = |news: &Value| news["rooms"]["join"][hall].is_object();
        let news = synced(&bert, Some(&text(&since["next_batch"])), is_there).await;
        assert!(news["rooms"]["join"][&room_id].is_null(), "{news}");
        let history = bert.history(hall).await;
        assert!(history.iter().any(|event| event["content"]["body"] == "come in"));
        let found = bert.get(&format!("/_matrix/client/v3/directory/room/{}", encode(alias))).await;
        assert_eq!(found.ok()["room_id"], hall);
        let event = format!("/_matrix/client/v3/rooms/{}/event/{}", encode(&room_id), encode(&event_id));
        anna.get(&event).await.refused(404, "M_NOT_FOUND");
        joins(&anna, &room_id).await.refused(403, "M_FORBIDDEN");
        let listed = bert.get("/_matrix/client/v3/publicRooms").await.ok();
        assert_eq!(listed["chunk"], json!([]));
        assert!(!is_stored(server, "a dark secret") && !is_stored(server, "Dark corner"));
        server.stop();
        let (whole, text) = server.command_line(&["log", "verify"]);
        assert!(whole, "{text}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_is_closed_and_kept() {
    on_own_servers(&[], async |server| {
        let boss = administrator(&server.client(), "boss").await;
        let anna = server.register("anna").await;
        let room_id = anna.create_room(json!({"room_alias_name": "old"})).await;
        anna.say(&room_id, "stays on disk").await;
        let told = delete(&boss, ("v1", &room_id), json!({"purge": false})).await;
        let wanted = json!({
            "kicked_users": [anna.user_id], "failed_to_kick_users": [], "local_aliases": [], "new_room_id": null
        });
        assert_eq!(told, wanted);
        awaited(&anna, JOINED, |told| told["joined_rooms"] == json!([])).await;
        joins(&anna, "#old:playhouse.test").await.refused(404, "M_NOT_FOUND");
        assert!(is_stored(server, "stays on disk"));
        // A second time there is nobody to move, and the rest goes.
        let told = delete(&boss, ("v1", &room_id), json!({})).await;
        assert_eq!(told["kicked_users"], json!([]));
        assert!(!is_stored(server, "stays on disk"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_room_can_be_joined_again() {
    let town = Town::new(&["one.town", "two.town"]);
    let one = town.open("one.town", &[]).await;
    let two = town.open("two.town", &[]).await;
    let anna = one.register("anna").await;
    let boss = administrator(&two.client(), "boss").await;
    let bert = two.register("bert").await;
    let wish = json!({"preset": "public_chat", "room_alias_name": "square"});
    let room_id = anna.create_room(wish).await;
    let alias = "#square:one.town";
    joins(&bert, alias).await.ok();
    bert.say(&room_id, "first visit").await;
    let told = delete(&boss, ("v1", &room_id), json!({})).await;
    assert_eq!(told["kicked_users"], json!([bert.user_id]));
    assert!(!is_stored(&two, "first visit"));
    // It is on its way to the other server.
    let member = format!("state/m.room.member/{}", encode(&bert.user_id));
    let member = room_path(&room_id, &member);
    awaited(&anna, &member, |told| told["membership"] == "leave").await;
    joins(&bert, alias).await.ok();
    bert.say(&room_id, "second visit").await;
    let bodies: Vec<_> = bert.history(&room_id).await;
    let said = |body: &str| bodies.iter().any(|event| event["content"]["body"] == body);
    assert!(said("second visit"), "{bodies:?}");
    let members = bert.look(&room_id, "joined_members").await.ok();
    assert_eq!(members["joined"].as_object().map(|all| all.len()), Some(2));
    // Kept out, it cannot be entered from here, and nobody is invited into it.
    let block = path("v1", &room_id, "/block");
    delete(&boss, ("v1", &room_id), json!({"block": true})).await;
    assert_eq!(boss.get(&block).await.ok()["block"], true);
    joins(&bert, alias).await.refused(403, "M_FORBIDDEN");
    let invite = json!({"user_id": bert.user_id});
    let invite = anna
        .post(
            &format!("/_matrix/client/v3/rooms/{}/invite", encode(&room_id)),
            invite,
        )
        .await;
    assert_ne!(invite.status, 200, "{:?}", invite.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_that_all_have_forgotten_goes() {
    let period = ("PLAYHOUSE_ROOMS_FORGOTTEN_ROOM_RETENTION_PERIOD_MS", "100");
    on_own_servers(&[period], async |server| {
        let boss = administrator(&server.client(), "boss").await;
        let [anna, bert] = [server.register("anna").await, server.register("bert").await];
        let room_id = anna.create_room(json!({"preset": "public_chat"})).await;
        bert.join(&room_id).await;
        anna.say(&room_id, "soon forgotten").await;
        let act = async |client: &Client, what: &str| {
            let path = format!("/_matrix/client/v3/rooms/{}/{what}", encode(&room_id));
            client.post(&path, json!({})).await.ok();
        };
        for what in ["leave", "forget"] {
            act(&anna, what).await;
        }
        act(&bert, "leave").await;
        // One of them still remembers it.
        let other = anna.create_room(json!({})).await;
        anna.say(&other, "to be kept").await;
        assert!(is_stored(server, "soon forgotten"));
        let status = path("v2", &room_id, "/delete_status");
        boss.get(&status).await.refused(404, "M_NOT_FOUND");
        act(&bert, "forget").await;
        let mut told = Value::Null;
        for _ in 0..2_400 {
            let answer = boss.get(&status).await;
            told = answer.body["results"][0].clone();
            if told["status"] == "complete" {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(told["status"], "complete", "{told}");
        assert!(!is_stored(server, "soon forgotten") && is_stored(server, "to be kept"));
    })
    .await;
}

//! What the server tells its users, each in a room of its own.

use std::time::Duration;

use serde_json::{Value, json};

use super::administrator;
use crate::{
    client::{props::text, stage::on_own_servers},
    harness::{Client, client::encode},
};

const NOTICE: &str = "/_synapse/admin/v1/send_server_notice";

const NOTIFIER: &str = "@notices:playhouse.test";

const SETTINGS: [(&str, &str); 4] = [
    ("PLAYHOUSE_SERVER_NOTICES_LOCALPART", "notices"),
    ("PLAYHOUSE_SERVER_NOTICES_DISPLAYNAME", "The House"),
    ("PLAYHOUSE_SERVER_NOTICES_ROOM_NAME", "From the house"),
    ("PLAYHOUSE_SERVER_NOTICES_ROOM_TOPIC", "What you must know"),
];

fn notice(user_id: &str, body: &str) -> Value {
    json!({"user_id": user_id, "content": {"msgtype": "m.text", "body": body}})
}

/// The one room into which a user is invited; the invite may still be on its way.
async fn invited(client: &Client) -> String {
    for _ in 0..2_400 {
        let news = client.sync(None, "").await;
        let invites = news["rooms"]["invite"].as_object().cloned();
        let invites = invites.unwrap_or_default();
        assert!(invites.len() <= 1, "{news}");
        if let Some((room_id, _)) = invites.into_iter().next() {
            return room_id;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("nobody is invited");
}

/// Waits until a user sees that a room is one for notices.
async fn is_tagged(client: &Client, room_id: &str) {
    for _ in 0..2_400 {
        let news = client.sync(None, "").await;
        let told = &news["rooms"]["join"][room_id]["account_data"]["events"];
        let mut data = told.as_array().into_iter().flatten();
        if data.any(|event| event["content"]["tags"]["m.server_notice"].is_object()) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{room_id} has no tag");
}

async fn pinned(client: &Client, room_id: &str) -> Value {
    let answer = client.look(room_id, "state/m.room.pinned_events").await;
    answer.body["pinned"].clone()
}

async fn refusals(boss: &Client, anna: &Client) {
    let answer = anna.post(NOTICE, notice(&anna.user_id, "x")).await;
    answer.refused(403, "M_FORBIDDEN");
    for (body, status, errcode) in [
        (json!({}), 400, "M_MISSING_PARAM"),
        (
            json!({"user_id": anna.user_id, "content": 7}),
            400,
            "M_BAD_JSON",
        ),
        (notice("@nobody:playhouse.test", "x"), 404, "M_NOT_FOUND"),
        (notice("@some:else.where", "x"), 400, "M_INVALID_PARAM"),
    ] {
        let told = boss.post(NOTICE, body).await;
        assert_eq!(told.status, status, "{:?}", told.body);
        if errcode != "M_MISSING_PARAM" {
            told.refused(status, errcode);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn administrators_tell_users_something() {
    on_own_servers(&SETTINGS, async |server| {
        let boss = administrator(&server.client(), "boss").await;
        let anna = server.register("anna").await;
        refusals(&boss, &anna).await;
        let once = format!("{NOTICE}/t1");
        let first = boss.put(&once, notice(&anna.user_id, "mind the gap")).await;
        let first = first.ok();
        let again = boss.put(&once, notice(&anna.user_id, "mind the gap")).await;
        assert_eq!(again.ok(), first);
        let room_id = invited(&anna).await;
        let room = format!("/_matrix/client/v3/rooms/{}", encode(&room_id));
        let leave = format!("{room}/leave");
        let answer = anna.post(&leave, json!({})).await;
        answer.refused(403, "M_CANNOT_LEAVE_SERVER_NOTICE_ROOM");
        anna.join(&room_id).await;
        is_tagged(&anna, &room_id).await;
        let name = anna.look(&room_id, "state/m.room.name").await.ok();
        assert_eq!(name["name"], "From the house");
        let member = format!("state/m.room.member/{}", encode(NOTIFIER));
        let member = anna.look(&room_id, &member).await.ok();
        assert_eq!(member["displayname"], "The House");
        boss.post(NOTICE, notice(&anna.user_id, "mind the step"))
            .await
            .ok();
        let history = anna.history(&room_id).await;
        let bodies: Vec<_> = history
            .iter()
            .filter_map(|event| event["content"]["body"].as_str())
            .collect();
        assert_eq!(bodies, ["mind the gap", "mind the step"]);
        assert_eq!(
            history
                .iter()
                .filter(|event| event["event_id"] == first["event_id"])
                .count(),
            1
        );
        // Only the server speaks there, and its name is nobody else's.
        let send = format!("{room}/send/m.room.message/t1");
        let answer = anna
            .put(&send, json!({"msgtype": "m.text", "body": "x"}))
            .await;
        answer.refused(403, "M_FORBIDDEN");
        let path = "/_matrix/client/v3/register/available?username=notices";
        anna.get(path).await.refused(400, "M_USER_IN_USE");
        // Who has read it may leave; what comes next comes in another room.
        anna.post(&leave, json!({})).await.ok();
        boss.post(NOTICE, notice(&anna.user_id, "mind the door"))
            .await
            .ok();
        assert_ne!(invited(&anna).await, room_id);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn users_are_told_that_the_server_is_closed() {
    let mut settings = SETTINGS.to_vec();
    settings.push(("PLAYHOUSE_SERVER_NOTICES_AUTO_JOIN", "true"));
    on_own_servers(&settings, async |server| {
        let boss = administrator(&server.client(), "boss").await;
        let anna = server.register("anna").await;
        anna.sync(None, "").await;
        server.set("PLAYHOUSE_BLOCKING_CLOSED", "true");
        server.set("PLAYHOUSE_BLOCKING_MESSAGE", "Moving house");
        server.set("PLAYHOUSE_BLOCKING_ADMIN_CONTACT", "mailto:boss@example.org");
        server.restart();
        let [boss, phone] = [&boss, &anna].map(|client| client.at(server.base()));
        let mut rooms = Value::Null;
        let mut events = json!([]);
        for _ in 0..2_400 {
            let answer = phone.get("/_matrix/client/v3/sync").await;
            answer.refused(403, "M_RESOURCE_LIMIT_EXCEEDED");
            rooms = phone.get("/_matrix/client/v3/joined_rooms").await.ok()["joined_rooms"].clone();
            if rooms[0].is_string() {
                events = pinned(&phone, &text(&rooms[0])).await;
            }
            if events[0].is_string() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let room_id = &*text(&rooms[0]);
        let path = format!(
            "/_matrix/client/v3/rooms/{}/event/{}",
            encode(room_id),
            encode(&text(&events[0]))
        );
        let told = phone.get(&path).await.ok();
        let wanted = json!({
            "msgtype": "m.server_notice", "server_notice_type": "m.server_notice.usage_limit_reached",
            "body": "Moving house", "limit_type": "hs_disabled", "admin_contact": "mailto:boss@example.org"
        });
        assert_eq!((&told["content"], &told["sender"]), (&wanted, &json!(NOTIFIER)));
        // Whom it does not concern is told nothing.
        boss.sync(None, "").await;
        let rooms = boss.get("/_matrix/client/v3/joined_rooms").await.ok();
        assert_eq!(rooms["joined_rooms"], json!([]));
        server.set("PLAYHOUSE_BLOCKING_CLOSED", "false");
        server.restart();
        let anna = anna.at(server.base());
        assert_ne!(pinned(&anna, room_id).await, json!([]));
        anna.sync(None, "").await;
        assert_eq!(pinned(&anna, room_id).await, json!([]));
    })
    .await;
}

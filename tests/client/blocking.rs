//! A server that is closed for a while.

use serde_json::json;

use super::stage::on_own_servers;
use crate::{
    admin::administrator,
    harness::{Client, client::encode},
};

/// Everything that is refused while the server is closed, and what is not.
async fn meets_closed_doors(anna: &Client, room_id: &str) {
    let room = |what: &str| format!("/_matrix/client/v3/rooms/{}/{what}", encode(room_id));
    let login = json!({
        "type": "m.login.password", "identifier": {"type": "m.id.user", "user": anna.user_id}, "password": "correct horse"
    });
    let text = json!({"msgtype": "m.text", "body": "hello"});
    let refused = [
        anna.get("/_matrix/client/v3/sync").await,
        anna.put(&room("send/m.room.message/t1"), text).await,
        anna.set_state(room_id, "m.room.topic", "", json!({"topic": "X"}))
            .await,
        anna.post(&room("join"), json!({})).await,
        anna.post("/_matrix/client/v3/createRoom", json!({})).await,
        anna.nobody().post("/_matrix/client/v3/login", login).await,
        anna.nobody()
            .post("/_matrix/client/v3/register", json!({}))
            .await,
    ];
    for answer in refused {
        let told = answer.refused(403, "M_RESOURCE_LIMIT_EXCEEDED");
        assert_eq!(told["limit_type"], "hs_disabled");
        assert_eq!(told["admin_contact"], "mailto:boss@example.org");
        assert_eq!(told["error"], "Moving house");
    }
    anna.get("/_matrix/client/v3/account/whoami").await.ok();
    anna.get(&room("state")).await;
    anna.nobody().get("/_matrix/client/v3/login").await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_is_closed_for_a_while() {
    on_own_servers(&[], async |server| {
        let boss = administrator(&server.client(), "boss").await;
        let anna = server.register("anna").await;
        let room_id = anna.create_room(json!({"preset": "public_chat"})).await;
        server.set("PLAYHOUSE_BLOCKING_CLOSED", "true");
        server.set("PLAYHOUSE_BLOCKING_MESSAGE", "Moving house");
        server.set(
            "PLAYHOUSE_BLOCKING_ADMIN_CONTACT",
            "mailto:boss@example.org",
        );
        server.restart();
        let [boss, phone] = [&boss, &anna].map(|client| client.at(server.base()));
        meets_closed_doors(&phone, &room_id).await;
        boss.sync(None, "").await;
        boss.join(&room_id).await;
        boss.say(&room_id, "we are back soon").await;
        boss.get("/_synapse/admin/v2/users").await.ok();
        phone
            .post("/_matrix/client/v3/logout", json!({}))
            .await
            .ok();
        server.set("PLAYHOUSE_BLOCKING_CLOSED", "false");
        server.restart();
        anna.at(server.base())
            .login_again()
            .await
            .sync(None, "")
            .await;
    })
    .await;
}

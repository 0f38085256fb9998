//! What an endpoint of the operator's calls spam.

use reqwest::Method;
use serde_json::{Value, json};

use super::{props::room_path, stage::on_own_servers};
use crate::harness::{
    Client,
    client::{Answer, encode},
    web::{Body, Reply, Seen, Web},
};

/// Everything with the word `spam` in it is refused, and an answer that is none is given to what has `mute` in it.
async fn endpoint() -> Web {
    Web::start("127.0.0.1", |seen: &Seen| {
        let question: Value = serde_json::from_slice(&seen.body).unwrap_or_default();
        let text = question.to_string();
        let answer = match (text.contains("mute"), text.contains("spam")) {
            (true, _) => "what?".to_owned(),
            (_, true) => json!({"allow": false, "errcode": "ORG_EXAMPLE_SPAM", "error": "We do not like this."}).to_string(),
            _ => json!({"allow": true}).to_string(),
        };
        Reply::new("application/json", Body::Bytes(answer.into_bytes()))
    })
    .await
}

fn is_spam(answer: Answer) {
    assert_eq!(answer.body["error"], "We do not like this.");
    answer.refused(403, "ORG_EXAMPLE_SPAM");
}

async fn sends(client: &Client, room_id: &str, body: &str) -> Answer {
    let path = room_path(room_id, &format!("send/m.room.message/{}", body.len()));
    client
        .put(&path, json!({"body": body, "msgtype": "m.text"}))
        .await
}

async fn joins_and_invites(anna: &Client, room_id: &str) {
    let invite = |user_id: &str| json!({ "user_id": user_id });
    let path = room_path(room_id, "invite");
    is_spam(anna.post(&path, invite("@spam:playhouse.test")).await);
    anna.post(&path, invite("@ben:playhouse.test")).await.ok();
    // The same by hand.
    let member = json!({"membership": "invite"});
    let state =
        |user_id: &str| room_path(room_id, &format!("state/m.room.member/{}", encode(user_id)));
    is_spam(anna.put(&state("@spam:playhouse.test"), member).await);
    let join = "/_matrix/client/v3/join/%23spam%3Aplayhouse.test";
    is_spam(anna.post(join, json!({})).await);
    let knock = "/_matrix/client/v3/knock/%23spam%3Aplayhouse.test";
    is_spam(anna.post(knock, json!({})).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn spam_is_what_the_operator_says() {
    let web = endpoint().await;
    let url = format!("{}/check", web.base());
    let settings = [
        ("PLAYHOUSE_SPAM_CHECK_URL", url.as_str()),
        (
            "PLAYHOUSE_SPAM_CHECK_CHECKS",
            "invite,join,create_room,publish,register,send",
        ),
    ];
    on_own_servers(&settings, async |server| {
        let anna = server.register("anna").await;
        server.register("ben").await;
        let account = |name: &str| json!({"username": name, "password": "correct horse", "auth": {"type": "m.login.dummy"}});
        let register = "/_matrix/client/v3/register";
        let nobody = server.client();
        is_spam(nobody.post(register, account("spammer")).await);
        let create = "/_matrix/client/v3/createRoom";
        is_spam(anna.post(create, json!({"name": "spam"})).await);
        is_spam(anna.post(create, json!({"invite": ["@spam:playhouse.test"]})).await);
        let room_id = anna.create_room(json!({"preset": "public_chat"})).await;
        joins_and_invites(&anna, &room_id).await;
        is_spam(sends(&anna, &room_id, "buy spam").await);
        sends(&anna, &room_id, "hello").await.ok();
        // Nobody answers: it is sent.
        sends(&anna, &room_id, "mutely").await.ok();
        let topic = room_path(&room_id, "state/m.room.topic");
        is_spam(anna.put(&topic, json!({"topic": "spam"})).await);
        let list = format!("/_matrix/client/v3/directory/list/room/{}", encode(&room_id));
        let visible = json!({"visibility": "public"});
        anna.request(Method::PUT, &list, Some(visible)).await.ok();
        let last = web.seen().pop().expect("it was asked");
        let last: Value = serde_json::from_slice(&last.body).expect("JSON");
        assert_eq!(last, json!({"check": "publish", "user_id": anna.user_id, "room_id": room_id}));
        // When silence means no.
        server.set("PLAYHOUSE_SPAM_CHECK_WHEN_SILENT", "refuse");
        server.restart();
        let anna = anna.at(server.base());
        sends(&anna, &room_id, "mute again").await.refused(503, "M_UNKNOWN");
    })
    .await;
}

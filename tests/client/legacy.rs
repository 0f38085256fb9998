//! Requests of old clients.

use serde_json::{Value, json};

use super::{
    props::{filter, list, room_path, said, text, texts},
    stage::on_each_engine,
};
use crate::harness::{Client, client::encode};

const V3: &str = "/_matrix/client/v3";

async fn listen(client: &Client, query: &str) -> Value {
    client.get(&format!("{V3}/events?{query}")).await.ok()
}

fn room<'a>(answer: &'a Value, room_id: &str) -> &'a Value {
    let mut rooms = list(&answer["rooms"]).iter();
    rooms
        .find(|room| room["room_id"] == room_id)
        .expect("the room is told")
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_tell_rooms_and_streams_go_on_from_them() {
    on_each_engine(async |stage| {
        let [anna, bert] = stage.users(["anna", "bert"]).await;
        let joined = anna
            .create_room(json!({"preset": "public_chat", "visibility": "public"}))
            .await;
        let left = anna.create_room(json!({"preset": "public_chat"})).await;
        let invited = anna.create_room(json!({"invite": [bert.user_id]})).await;
        bert.join(&joined).await;
        bert.join(&left).await;
        bert.leave(&left).await;
        for number in 0..3 {
            anna.say(&joined, &format!("number {number}")).await;
        }
        let path = format!(
            "{V3}/user/{}/rooms/{}/account_data/org.example",
            encode(&bert.user_id),
            encode(&joined)
        );
        bert.put(&path, json!({"a": 1})).await.ok();
        // What happened is told a moment after it was acknowledged.
        bert.now_in(&joined).await;
        let with_left = filter(&json!({"room": {"include_leave": true}}));
        bert.sync_anew_until(&with_left, |answer| {
            let rooms = &answer["rooms"];
            rooms["invite"].get(&invited).is_some() && rooms["leave"].get(&left).is_some()
        })
        .await;
        let answer = bert.get(&format!("{V3}/initialSync?limit=2")).await.ok();
        assert_eq!(list(&answer["rooms"]).len(), 2, "{answer}");
        let told = room(&answer, &joined);
        assert_eq!(
            (&told["membership"], &told["visibility"]),
            (&json!("join"), &json!("public"))
        );
        assert_eq!(said(&told["messages"]["chunk"]), ["number 1", "number 2"]);
        assert_eq!(told["messages"]["chunk"][0]["room_id"], joined);
        assert!(told["messages"]["start"].is_string() && told["messages"]["end"].is_string());
        assert!(texts(&told["state"], "/type").contains(&"m.room.create".to_owned()));
        assert_eq!(told["account_data"][0]["type"], "org.example");
        let invite = room(&answer, &invited);
        assert_eq!(
            (&invite["membership"], &invite["inviter"]),
            (&json!("invite"), &json!(anna.user_id))
        );
        assert_eq!(invite["invite"]["type"], "m.room.member");
        assert!(answer["presence"].is_array() && answer["account_data"].is_array());
        let archived = bert
            .get(&format!("{V3}/initialSync?archived=true"))
            .await
            .ok();
        assert_eq!(room(&archived, &left)["membership"], "leave");
        // The stream goes on where the snapshot ended, and waits.
        let end = encode(&text(&answer["end"]));
        let query = format!("from={end}&timeout=60000");
        let (heard, _) = tokio::join!(listen(&bert, &query), anna.say(&joined, "news"));
        assert!(
            heard["chunk"]
                .as_array()
                .expect("a chunk")
                .iter()
                .any(|event| event["room_id"] == joined),
            "{heard}"
        );
        assert_eq!(heard["start"], answer["end"]);
        let now = listen(&bert, "timeout=0").await;
        assert_eq!(said(&now["chunk"]), Vec::<String>::new());
        bert.get(&format!("{V3}/events?timeout=x"))
            .await
            .refused(400, "M_INVALID_PARAM");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_is_looked_into() {
    on_each_engine(async |stage| {
        let [anna, bert] = stage.users(["anna", "bert"]).await;
        let readable = json!({"preset": "public_chat", "initial_state": [
            {"type": "m.room.history_visibility", "content": {"history_visibility": "world_readable"}}
        ]});
        let open = anna.create_room(readable).await;
        let closed = anna.create_room(json!({"preset": "public_chat"})).await;
        anna.say(&open, "first").await;
        anna.say(&open, "second").await;
        let guest = stage.client().post(&format!("{V3}/register?kind=guest"), json!({})).await;
        let guest = if guest.status == 200 { stage.client().with_session(&guest.ok()) } else { bert.clone() };
        let told = guest.look(&open, "initialSync?limit=2").await.ok();
        assert_eq!(said(&told["messages"]["chunk"]), ["first", "second"]);
        assert!(told.get("membership").is_none());
        assert!(texts(&told["state"], "/type").contains(&"m.room.create".to_owned()));
        let end = encode(&text(&told["messages"]["end"]));
        let path = format!("room_id={}&timeout=60000&from={end}", encode(&open));
        let (heard, _) = tokio::join!(listen(&guest, &path), anna.say(&open, "third"));
        assert_eq!(said(&heard["chunk"]), ["third"]);
        let end = encode(&text(&heard["end"]));
        let path = format!("room_id={}&timeout=0&from={end}", encode(&open));
        assert_eq!(listen(&guest, &path).await["chunk"], json!([]));
        guest.look(&closed, "initialSync").await.refused(403, "M_FORBIDDEN");
        let path = format!("{V3}/events?room_id={}&timeout=0", encode(&closed));
        guest.get(&path).await.refused(403, "M_FORBIDDEN");
        // Who is in it is told more, who has left what there was.
        bert.join(&closed).await;
        let read = anna.say(&closed, "seen").await;
        let path = room_path(&closed, &format!("receipt/m.read/{}", encode(&read)));
        bert.post(&path, json!({})).await.ok();
        let told = bert.look(&closed, "initialSync").await.ok();
        assert_eq!(told["membership"], "join");
        assert_eq!(told["receipts"][0]["type"], "m.receipt");
        bert.leave(&closed).await;
        anna.say(&closed, "unseen").await;
        let told = bert.look(&closed, "initialSync").await.ok();
        assert_eq!(told["membership"], "leave");
        let chunk = said(&told["messages"]["chunk"]);
        assert!(chunk.contains(&"seen".to_owned()) && !chunk.contains(&"unseen".to_owned()));
        // Single events by their IDs alone.
        let path = format!("{V3}/events/{}", encode(&read));
        assert_eq!(anna.get(&path).await.ok()["room_id"], closed);
        stage.user("carla").await.get(&path).await.refused(404, "M_NOT_FOUND");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_is_answered_as_the_first() {
    on_each_engine(async |stage| {
        let [anna, bert] = stage.users(["anna", "bert"]).await;
        let path = format!("{V3}/createRoom/once");
        let body = json!({"preset": "public_chat"});
        let first = anna.put(&path, body.clone()).await.ok();
        assert_eq!(anna.put(&path, body.clone()).await.ok(), first);
        assert_ne!(bert.put(&path, body).await.ok(), first);
        let room_id = text(&first["room_id"]);
        let join = format!("{V3}/join/{}/t", encode(&room_id));
        assert_eq!(bert.put(&join, json!({})).await.ok(), first);
        let target = json!({"user_id": bert.user_id});
        let kick = room_path(&room_id, "kick/t");
        anna.put(&kick, target.clone()).await.ok();
        bert.put(&room_path(&room_id, "join/t"), json!({}))
            .await
            .ok();
        // The kick is done already: bert stays.
        anna.put(&kick, target.clone()).await.ok();
        assert!(
            anna.look(&room_id, "joined_members").await.ok()["joined"]
                .get(&bert.user_id)
                .is_some()
        );
        anna.put(&room_path(&room_id, "ban/t"), target.clone())
            .await
            .ok();
        anna.put(&room_path(&room_id, "unban/t"), target.clone())
            .await
            .ok();
        anna.put(&room_path(&room_id, "invite/t"), target)
            .await
            .ok();
        bert.put(&room_path(&room_id, "leave/t"), json!({}))
            .await
            .ok();
        bert.put(&room_path(&room_id, "forget/t"), json!({}))
            .await
            .ok();
        anna.put(&room_path(&room_id, "invite/u"), json!({}))
            .await
            .refused(400, "M_MISSING_PARAM");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_names_no_transaction_is_done_each_time() {
    on_each_engine(async |stage| {
        let anna = stage.user("anna").await;
        let room_id = anna.create_room(json!({})).await;
        let message = json!({"msgtype": "m.text", "body": "hello"});
        let send = room_path(&room_id, "send/m.room.message");
        let one = anna.post(&send, message.clone()).await.ok();
        let two = anna.post(&send, message).await.ok();
        assert_ne!(one, two);
        let redact = room_path(
            &room_id,
            &format!("redact/{}", encode(&text(&one["event_id"]))),
        );
        anna.post(&redact, json!({"reason": "because"})).await.ok();
        let event = anna
            .look(
                &room_id,
                &format!("event/{}", encode(&text(&one["event_id"]))),
            )
            .await
            .ok();
        assert_eq!(event["content"], json!({}));
        assert_eq!(
            event["unsigned"]["redacted_because"]["content"]["reason"],
            "because"
        );
        anna.post(&format!("{V3}/tokenrefresh"), json!({}))
            .await
            .refused(403, "M_FORBIDDEN");
        let policy = stage
            .client()
            .get(&format!("{V3}/password_policy"))
            .await
            .ok();
        assert_eq!(policy, json!({"m.minimum_length": 8}));
    })
    .await;
}

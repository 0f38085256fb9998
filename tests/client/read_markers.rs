//! The marker up to which everything is read goes on, and back only when the client says so (MSC4446).

use serde_json::{Value, json};

use super::{
    props::{room_path, text, user_path},
    stage::on_each_engine,
};
use crate::harness::{
    Client,
    client::{Answer, encode},
};

async fn marker(client: &Client, room_id: &str) -> String {
    let rest = format!("rooms/{}/account_data/m.fully_read", encode(room_id));
    let data = client.get(&user_path(&client.user_id, &rest)).await.ok();
    text(&data["event_id"])
}

async fn mark(client: &Client, room_id: &str, body: Value) -> Answer {
    client.post(&room_path(room_id, "read_markers"), body).await
}

async fn receipt(client: &Client, what: (&str, &str, &str), body: Value) -> Answer {
    let (room_id, kind, event_id) = what;
    let path = room_path(room_id, &format!("receipt/{kind}/{}", encode(event_id)));
    client.post(&path, body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_marker_goes_back_only_when_it_is_told_to() {
    on_each_engine(async |stage| {
        let anna = stage.user("anna").await;
        let room_id = anna.create_room(json!({})).await;
        let first = anna.say(&room_id, "first").await;
        // The room has forgotten where the first one was.
        for number in 0..120 {
            anna.say(&room_id, &number.to_string()).await;
        }
        let last = anna.say(&room_id, "last").await;
        let key = "com.beeper.allow_backward";
        mark(&anna, &room_id, json!({"m.fully_read": last}))
            .await
            .ok();
        assert_eq!(marker(&anna, &room_id).await, last);
        mark(&anna, &room_id, json!({"m.fully_read": first}))
            .await
            .ok();
        assert_eq!(marker(&anna, &room_id).await, last);
        let back = json!({"m.fully_read": first, key: true});
        mark(&anna, &room_id, back).await.ok();
        assert_eq!(marker(&anna, &room_id).await, first);
        let kind = "m.fully_read";
        receipt(&anna, (&room_id, kind, &last), json!({}))
            .await
            .ok();
        assert_eq!(marker(&anna, &room_id).await, last);
        receipt(&anna, (&room_id, kind, &first), json!({key: false}))
            .await
            .ok();
        assert_eq!(marker(&anna, &room_id).await, last);
        receipt(&anna, (&room_id, kind, &first), json!({key: true}))
            .await
            .ok();
        assert_eq!(marker(&anna, &room_id).await, first);
        let read = receipt(&anna, (&room_id, "m.read", &first), json!({key: true}));
        let refused = read.await;
        refused.refused(400, "M_INVALID_PARAM");
        let refused = mark(&anna, &room_id, json!({"m.fully_read": last, key: 1})).await;
        refused.refused(400, "M_INVALID_PARAM");
    })
    .await;
}

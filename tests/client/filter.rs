//! What filters do to a sync.

use serde_json::{Value, json};

use crate::harness::{TestServer, client::encode};

fn timeline<'a>(sync: &'a Value, room_id: &str) -> &'a [Value] {
    let events = &sync["rooms"]["join"][room_id]["timeline"]["events"];
    events.as_array().expect("a timeline")
}

fn with(filter: &Value) -> String {
    format!("filter={}", encode(&filter.to_string()))
}

#[tokio::test(flavor = "multi_thread")]
async fn event_fields_cut_events_down() {
    let server = TestServer::start().await;
    let anna = server.register("anna").await;
    let room_id = anna.create_room(json!({"name": "Here"})).await;
    let filter = with(&json!({"event_fields": ["type", "content.body"]}));
    anna.now_in(&room_id).await;
    let first = anna.sync(None, &filter).await;
    for event in timeline(&first, &room_id) {
        let names: Vec<_> = event.as_object().expect("an event").keys().collect();
        assert_eq!(names, ["type"], "{event}");
    }
    anna.say(&room_id, "hello").await;
    let query = format!("{filter}&timeout=60000");
    let next = anna.sync(first["next_batch"].as_str(), &query).await;
    assert_eq!(
        timeline(&next, &room_id),
        [json!({"type": "m.room.message", "content": {"body": "hello"}})]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn event_format_federation_tells_pdus() {
    let server = TestServer::start().await;
    let anna = server.register("anna").await;
    let room_id = anna.create_room(json!({})).await;
    let event_id = anna.say(&room_id, "hello").await;
    let filter = with(&json!({"event_format": "federation"}));
    anna.now_in(&room_id).await;
    let sync = anna.sync(None, &filter).await;
    let event = timeline(&sync, &room_id).last().expect("an event");
    assert_eq!(event["event_id"], event_id);
    assert_eq!(event["room_id"], room_id);
    assert!(event["hashes"].is_object() && event["prev_events"].is_array());
    let next = anna.say(&room_id, "again").await;
    let query = format!("{filter}&timeout=60000");
    let sync = anna.sync(sync["next_batch"].as_str(), &query).await;
    let event = &timeline(&sync, &room_id)[0];
    assert_eq!(event["event_id"], next);
    assert_eq!(event["prev_events"], json!([event_id]));
    let plain = anna.sync(None, "").await;
    let event = timeline(&plain, &room_id).last().expect("an event");
    assert!(event["hashes"].is_null() && event["unsigned"].is_object());
}

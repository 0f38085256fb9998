//! Sticky events (MSC4354) between servers.

use serde_json::json;

use super::neighbours::Neighbours;
use crate::{
    client::{
        props::{filter, ids},
        sticky_events::{stick, stuck},
    },
    harness::Client,
};

/// Waits until a user is told of events that stick to a room, in its timeline or beside it.
async fn hears(client: &Client, room_id: &str, wanted: &[&String]) {
    let query = filter(&json!({"room": {"timeline": {"limit": 3}}}));
    let heard = |answer: &serde_json::Value| {
        let room = &answer["rooms"]["join"][room_id];
        if !room.is_object() {
            return false;
        }
        let mut told = stuck(&room["msc4354_sticky"]);
        told.extend(ids(&room["timeline"]["events"]));
        wanted.iter().all(|event_id| told.contains(event_id))
    };
    client.sync_anew_until(&query, heard).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_comes_in_is_sent_what_sticks() {
    let all = Neighbours::new().await;
    let (anna, bert) = (&all.anna, &all.bert);
    for visibility in ["shared", "joined"] {
        let history = json!({"type": "m.room.history_visibility", "content": {"history_visibility": visibility}});
        let wish = json!({"preset": "public_chat", "initial_state": [history]});
        let room_id = anna.create_room(wish).await;
        anna.say(&room_id, "one").await;
        let first = stick(anna, &room_id, 600_000).await;
        anna.say(&room_id, "two").await;
        let second = stick(anna, &room_id, 600_000).await;
        for number in 0..12 {
            anna.say(&room_id, &number.to_string()).await;
        }
        let path = format!(
            "/_matrix/client/v3/join/{}?via=one.town",
            crate::harness::client::encode(&room_id)
        );
        bert.post(&path, json!({})).await.ok();
        hears(bert, &room_id, &[&first, &second]).await;
        // Those of others are honoured from then on, in both directions.
        let theirs = stick(bert, &room_id, 600_000).await;
        let ours = stick(anna, &room_id, 600_000).await;
        for number in 0..5 {
            anna.say(&room_id, &number.to_string()).await;
            bert.say(&room_id, &number.to_string()).await;
        }
        hears(anna, &room_id, &[&first, &second, &theirs, &ours]).await;
        hears(bert, &room_id, &[&first, &second, &theirs, &ours]).await;
    }
}

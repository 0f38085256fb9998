//! What was said before somebody came.

use serde_json::{Value, json};

use super::{agree, both_ways, sees, shared_room, timeline};
use crate::client::{
    props::{ids, list},
    stage::fresh,
};

/// So much was said before.
const LINES: usize = 500;

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_events_are_fetched() {
    both_ways(async |host, guest| {
        let name = fresh("archive");
        let wish = json!({"preset": "public_chat", "room_alias_name": name});
        let room_id = host.create_room(wish).await;
        let mut told = Vec::new();
        for line in 0..LINES {
            told.push(host.say(&room_id, &format!("line {line}")).await);
        }
        guest.join(&super::alias(host, &name)).await;
        let welcome = host.say(&room_id, "welcome").await;
        sees(guest, &room_id, &welcome).await;
        agree(host, guest, &room_id).await;
        let mut seen = timeline(guest, &room_id).await;
        seen.reverse();
        seen.retain(|event_id| told.contains(event_id));
        assert_eq!(seen, told);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_hidden_stays_hidden() {
    both_ways(async |host, guest| {
        let name = fresh("vault");
        let visibility = json!({"history_visibility": "joined"});
        let state = json!({"type": "m.room.history_visibility", "content": visibility});
        let wish =
            json!({"preset": "public_chat", "room_alias_name": name, "initial_state": [state]});
        let room_id = host.create_room(wish).await;
        let mut hidden = Vec::new();
        for line in 0..5 {
            hidden.push(host.say(&room_id, &format!("line {line}")).await);
        }
        guest.join(&super::alias(host, &name)).await;
        let welcome = host.say(&room_id, "welcome").await;
        sees(guest, &room_id, &welcome).await;
        let seen = timeline(guest, &room_id).await;
        assert!(hidden.iter().all(|event_id| !seen.contains(event_id)));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn around_an_event_and_of_a_time() {
    both_ways(async |host, guest| {
        let room_id = shared_room(host, guest, json!({})).await;
        let mut told = Vec::new();
        for line in 0..10 {
            told.push(host.say(&room_id, &format!("line {line}")).await);
        }
        sees(guest, &room_id, &told[9]).await;
        let around = format!("context/{}?limit=4", super::encode(&told[5]));
        for user in [host, guest] {
            let seen = user.look(&room_id, &around).await.ok();
            let mut lines: Vec<Value> = list(&seen["events_before"]).to_vec();
            lines.reverse();
            lines.push(seen["event"].clone());
            lines.extend(list(&seen["events_after"]).iter().cloned());
            assert_eq!(ids(&Value::Array(lines)), told[3..8]);
        }
    })
    .await;
}

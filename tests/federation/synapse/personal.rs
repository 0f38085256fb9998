//! How far somebody has read.

use serde_json::{Value, json};

use super::{both_ways, comes, encode, sees, shared_room};
use crate::{client::props::list, harness::Client};

async fn read(client: &Client, room_id: &str, kind: &str, event_id: &str, body: Value) {
    let action = format!("receipt/{kind}/{}", encode(event_id));
    client.act(room_id, &action, body).await.ok();
}

/// All receipts of a user that a sync shows: event, kind and thread.
fn receipts(answer: &Value, room_id: &str, user_id: &str) -> Vec<(String, String, Value)> {
    let events = &answer["rooms"]["join"][room_id]["ephemeral"]["events"];
    let mut found = Vec::new();
    for event in events.as_array().into_iter().flatten() {
        let is_receipt = event["type"] == "m.receipt";
        let content = event["content"].as_object().filter(|_| is_receipt);
        for (event_id, kinds) in content.into_iter().flatten() {
            for (kind, users) in kinds.as_object().into_iter().flatten() {
                if let Some(receipt) = users.get(user_id) {
                    found.push((event_id.clone(), kind.clone(), receipt["thread_id"].clone()));
                }
            }
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn receipts_cross_but_private_ones() {
    both_ways(async |host, guest| {
        let room_id = shared_room(host, guest, json!({})).await;
        let first = host.say(&room_id, "first").await;
        let relation = json!({"rel_type": "m.thread", "event_id": first});
        let reply = json!({"msgtype": "m.text", "body": "aside", "m.relates_to": relation});
        let aside = host.send(&room_id, "m.room.message", reply).await;
        let last = host.say(&room_id, "last").await;
        sees(guest, &room_id, &last).await;
        let public = "m.read";
        let wishes = [
            ("m.read.private", &last, Value::Null),
            (public, &first, Value::Null),
            (public, &aside, json!(first)),
            (public, &last, json!("main")),
        ];
        for (kind, event_id, thread) in &wishes {
            let body = match thread {
                Value::Null => json!({}),
                thread => json!({"thread_id": thread}),
            };
            read(guest, &room_id, kind, event_id, body).await;
            let wanted = ((*event_id).clone(), public.to_owned(), thread.clone());
            if *kind == public {
                comes(host, |answer| {
                    receipts(answer, &room_id, &guest.user_id).contains(&wanted)
                })
                .await;
            }
        }
        let all = host.sync(None, "").await;
        let seen = receipts(&all, &room_id, &guest.user_id);
        assert!(seen.iter().all(|(_, kind, _)| kind == public), "{seen:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_is_told_something() {
    both_ways(async |host, guest| {
        shared_room(host, guest, json!({})).await;
        for number in 0..3 {
            let path = format!(
                "/_matrix/client/v3/sendToDevice/odd.type/{}",
                crate::client::stage::fresh("x")
            );
            let wish = json!({"messages": {&guest.user_id: {"*": {"number": number}}}});
            host.put(&path, wish).await.ok();
        }
        let mut seen = Vec::new();
        let mut since = None;
        super::eventually("not told", async || {
            let answer = guest.sync(since.as_deref(), "timeout=1000").await;
            since = Some(crate::client::props::next_batch(&answer));
            let told = &answer["to_device"]["events"];
            if told.is_array() {
                let numbers = list(told)
                    .iter()
                    .map(|event| event["content"]["number"].clone());
                seen.extend(numbers);
            }
            let is_all = json!(seen) == json!([0, 1, 2]);
            if is_all {
                Ok(())
            } else {
                Err(format!("{seen:?}"))
            }
        })
        .await;
    })
    .await;
}

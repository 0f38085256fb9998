//! What nobody knows: a push whose answer is lost may have arrived or not. Devices show the right count all the same, and nothing of weight is lost.

use serde_json::{Value, json};

use super::pushers::{on_servers, pair};
use crate::harness::gateway::{Arrived, Manner};

#[tokio::test(flavor = "multi_thread")]
async fn a_push_whose_answer_is_lost_is_followed_by_the_counts() {
    on_servers(async |server, gateway| {
        let pair = pair(server, gateway, json!({})).await;
        gateway.set(Manner::IsDown);
        let event_id = pair.bert.say(&pair.room_id, "hello").await;
        gateway.until(&pair.key, |all| !all.is_empty()).await;
        pair.read(&pair.room_id, &event_id).await;
        gateway.set(Manner::Takes);
        // The device may have been told of one.
        gateway.counts(&pair.key, 0).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_under_way_at_a_crash_is_followed_by_the_counts() {
    on_servers(async |server, gateway| {
        let pair = pair(server, gateway, json!({})).await;
        gateway.set(Manner::Stalls);
        let event_id = pair.bert.say(&pair.room_id, "hello").await;
        gateway.until(&pair.key, |all| !all.is_empty()).await;
        pair.read(&pair.room_id, &event_id).await;
        server.kill();
        gateway.set(Manner::Takes);
        server.start_again();
        gateway.counts(&pair.key, 0).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_crash_the_counts_are_told_once_however_many_rooms_are_read_again() {
    on_servers(async |server, gateway| {
        let pair = pair(server, gateway, json!({})).await;
        let mut rooms = vec![pair.room_id.clone()];
        for _ in 0..8 {
            let wish = json!({"preset": "public_chat"});
            let room_id = pair.anna.create_room(wish).await;
            pair.bert.join(&room_id).await;
            rooms.push(room_id);
        }
        gateway.set(Manner::Stalls);
        for room_id in &rooms {
            let event_id = pair.bert.say(room_id, "hello").await;
            pair.read(room_id, &event_id).await;
        }
        gateway.until(&pair.key, |all| !all.is_empty()).await;
        server.kill();
        gateway.set(Manner::Takes);
        server.start_again();
        gateway.counts(&pair.key, 0).await;
        // Whatever is read again is before this.
        let pair = pair.at(server);
        let last = pair.bert.say(&pair.room_id, "are you there").await;
        gateway.pushed(&pair.key, &last).await;
        let taken = gateway.taken(&pair.key);
        let alone = taken.iter().filter(|one| one.event_id().is_none());
        assert_eq!(alone.count(), 1, "{taken:#?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_another_device_takes_is_missed_no_more() {
    on_servers(async |server, gateway| {
        let pair = pair(server, gateway, json!({})).await;
        let offer = json!({"call_id": "c", "version": 0, "lifetime": 60_000, "offer": {"type": "offer", "sdp": "x"}});
        let call = pair.send("m.call.invite", offer).await;
        let told = gateway.pushed(&pair.key, &call).await;
        assert_eq!(told["counts"]["missed_calls"], 1, "{told}");
        let answer = json!({"call_id": "c", "version": 0, "answer": {"type": "answer", "sdp": "x"}});
        let path = format!(
            "/_matrix/client/v3/rooms/{}/send/m.call.answer/answer",
            crate::harness::client::encode(&pair.room_id)
        );
        pair.anna.put(&path, answer).await.ok();
        let is_missed_no_more = |all: &[Arrived]| {
            let last = all.iter().rev().find(|one| one.taken);
            last.is_some_and(|last| last.notification["counts"]["missed_calls"] == Value::Null)
        };
        gateway.until(&pair.key, is_missed_no_more).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_called_by_name_hears_of_it_however_much_was_said_since() {
    on_servers(async |server, gateway| {
        let pair = pair(server, gateway, json!({})).await;
        gateway.set(Manner::IsDown);
        let mention = json!({"msgtype": "m.text", "body": "you", "m.mentions": {"user_ids": [pair.anna.user_id]}});
        let mention = pair.send("m.room.message", mention).await;
        gateway.until(&pair.key, |all| !all.is_empty()).await;
        let mut newest = String::new();
        for number in 0..60 {
            newest = pair.bert.say(&pair.room_id, &format!("{number}")).await;
        }
        gateway.set(Manner::Takes);
        gateway.pushed(&pair.key, &mention).await;
        gateway.pushed(&pair.key, &newest).await;
    })
    .await;
}

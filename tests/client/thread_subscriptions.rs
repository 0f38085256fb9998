//! Thread subscriptions (MSC4306) and what changed of them (MSC4308).

use serde_json::{Value, json};

use super::{props::text, sliding_sync::Slider, stage::on_each_engine};
use crate::harness::{Client, client::encode};

fn path(room_id: &str, root: &str) -> String {
    format!(
        "/_matrix/client/unstable/io.element.msc4306/rooms/{}/thread/{}/subscription",
        encode(room_id),
        encode(root)
    )
}

async fn reply(client: &Client, room_id: &str, root: &str) -> String {
    let content = json!({"msgtype": "m.text", "body": "in the thread",
        "m.relates_to": {"rel_type": "m.thread", "event_id": root}});
    client.send(room_id, "m.room.message", content).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_does_not_undo_what_the_user_said_since() {
    on_each_engine(async |stage| {
        let [anna, bert] = stage.users(["anna", "bert"]).await;
        let room_id = anna.create_room(json!({"preset": "public_chat"})).await;
        let root = anna.say(&room_id, "root").await;
        let cause = reply(&anna, &room_id, &root).await;
        let thread = path(&room_id, &root);
        anna.get(&thread).await.refused(404, "M_NOT_FOUND");
        anna.put(&thread, json!({"automatic": cause})).await.ok();
        assert_eq!(anna.get(&thread).await.ok(), json!({"automatic": true}));
        anna.put(&thread, json!({})).await.ok();
        assert_eq!(anna.get(&thread).await.ok(), json!({"automatic": false}));
        // What was done by hand does not become automatic.
        anna.put(&thread, json!({"automatic": cause})).await.ok();
        assert_eq!(anna.get(&thread).await.ok(), json!({"automatic": false}));
        anna.delete(&thread).await.ok();
        anna.get(&thread).await.refused(404, "M_NOT_FOUND");
        let answer = anna.put(&thread, json!({"automatic": cause})).await;
        answer.refused(409, "IO.ELEMENT.MSC4306.M_CONFLICTING_UNSUBSCRIPTION");
        let newer = reply(&anna, &room_id, &root).await;
        anna.put(&thread, json!({"automatic": newer})).await.ok();
        assert_eq!(anna.get(&thread).await.ok(), json!({"automatic": true}));
        let outside = anna.say(&room_id, "elsewhere").await;
        let answer = anna.put(&thread, json!({"automatic": outside})).await;
        answer.refused(400, "IO.ELEMENT.MSC4306.M_NOT_IN_THREAD");
        let unknown = path(&room_id, "$nothing");
        anna.put(&unknown, json!({}))
            .await
            .refused(404, "M_NOT_FOUND");
        bert.put(&thread, json!({}))
            .await
            .refused(403, "M_FORBIDDEN");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_are_told_by_sliding_sync_and_in_pages() {
    on_each_engine(async |stage| {
        let anna = stage.user("anna").await;
        let room_id = anna.create_room(json!({})).await;
        let mut roots = Vec::new();
        for number in 0..5 {
            let root = anna.say(&room_id, &number.to_string()).await;
            anna.put(&path(&room_id, &root), json!({})).await.ok();
            roots.push(root);
        }
        let name = "io.element.msc4308.thread_subscriptions";
        let mut slider = Slider::new(
            &anna,
            json!({"extensions": {name: {"enabled": true, "limit": 2}}}),
        );
        let told = |threads: &Value, list: &str| -> Vec<String> {
            let threads = threads[list][&room_id].as_object();
            let mut roots: Vec<_> = threads
                .into_iter()
                .flatten()
                .map(|(root, _)| root.clone())
                .collect();
            roots.sort();
            roots
        };
        let sorted = |roots: &[String]| {
            let mut roots = roots.to_vec();
            roots.sort();
            roots
        };
        let answer = slider.next(0).await;
        let threads = &answer["extensions"][name];
        assert_eq!(told(threads, "subscribed"), sorted(&roots[3..]));
        let mut from = text(&threads["prev_batch"]);
        let mut older = Vec::new();
        loop {
            let path =
                "/_matrix/client/unstable/io.element.msc4308/thread_subscriptions?dir=b&limit=2";
            let page = anna.get(&format!("{path}&from={from}")).await.ok();
            older.extend(told(&page, "subscribed"));
            match page["end"].as_str() {
                Some(end) => from = end.to_owned(),
                None => break,
            }
        }
        assert_eq!(sorted(&older), sorted(&roots[..3]));
        anna.delete(&path(&room_id, &roots[0])).await.ok();
        let answer = slider
            .until(|answer| answer["extensions"].get(name).is_some())
            .await;
        let threads = &answer["extensions"][name];
        assert_eq!(told(threads, "unsubscribed"), [roots[0].clone()]);
        assert!(told(threads, "subscribed").is_empty());
        assert!(threads.get("prev_batch").is_none());
    })
    .await;
}

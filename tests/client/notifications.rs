//! `/notifications`.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{
    props::{list, room_path, text, texts, user_path},
    stage::{on_each_engine, on_own_servers},
};
use crate::harness::{Client, client::encode};

async fn page(client: &Client, query: &str) -> Value {
    let path = format!("/_matrix/client/v3/notifications?{query}");
    client.get(&path).await.ok()
}

fn events(page: &Value) -> Vec<String> {
    texts(&page["notifications"], "/event/event_id")
}

fn unread(page: &Value) -> usize {
    let all = list(&page["notifications"]).iter();
    all.filter(|notification| notification["read"] == false)
        .count()
}

/// What a sync counts in all rooms: notifications and highlights.
async fn counted(client: &Client) -> (usize, usize) {
    let answer = client.sync(None, "").await;
    let rooms = answer["rooms"]["join"].as_object().expect("rooms");
    let sum = |name: &str| {
        let counts = rooms
            .values()
            .filter_map(|room| room["unread_notifications"][name].as_u64());
        counts.sum::<u64>() as usize
    };
    (sum("notification_count"), sum("highlight_count"))
}

/// Waits until a sync counts so: it hears of messages and receipts a moment after they were acknowledged.
async fn comes_to_count(client: &Client, wanted: (usize, usize)) {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let told = counted(client).await;
        if told == wanted {
            return;
        }
        assert!(Instant::now() < deadline, "{told:?} instead of {wanted:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn they_are_what_a_sync_counts() {
    on_each_engine(async |stage| {
        let [anna, bert] = stage.users(["anna", "bert"]).await;
        assert_eq!(page(&bert, "").await, json!({"notifications": []}));
        let rooms = [
            anna.create_room(json!({"preset": "public_chat"})).await,
            anna.create_room(json!({"preset": "public_chat"})).await,
        ];
        anna.say(&rooms[0], "before you came").await;
        for room_id in &rooms {
            bert.join(room_id).await;
        }
        let mut said = Vec::new();
        for number in 0..6 {
            said.push(
                anna.say(&rooms[number % 2], &format!("number {number}"))
                    .await,
            );
            bert.say(&rooms[number % 2], "my own").await;
        }
        let path = room_path(&rooms[0], "send/m.room.message/mention");
        let mention =
            json!({"msgtype": "m.text", "body": "you", "m.mentions": {"user_ids": [bert.user_id]}});
        said.push(text(&anna.put(&path, mention).await.ok()["event_id"]));
        said.reverse();
        let all = page(&bert, "").await;
        assert_eq!(events(&all), said);
        assert!(all.get("next_token").is_none(), "{all}");
        comes_to_count(&bert, (unread(&all), 1)).await;
        let newest = &all["notifications"][0];
        assert_eq!(newest["room_id"], rooms[0]);
        assert!(newest["ts"].is_u64() && newest["actions"][0] == "notify");
        assert_eq!(newest["event"]["sender"], anna.user_id);
        // Page by page it is the same.
        let (mut from, mut paged) = (String::new(), Vec::new());
        loop {
            let some = page(&bert, &format!("limit=2{from}")).await;
            paged.extend(events(&some));
            match some["next_token"].as_str() {
                Some(token) => from = format!("&from={}", encode(token)),
                None => break,
            }
        }
        assert_eq!(paged, said);
        assert_eq!(events(&page(&bert, "only=highlight").await), said[..1]);
        // What was read is told as read.
        let path = room_path(&rooms[1], &format!("receipt/m.read/{}", encode(&said[1])));
        bert.post(&path, json!({})).await.ok();
        let all = page(&bert, "").await;
        assert_eq!(events(&all), said);
        assert_eq!(unread(&all), 4);
        comes_to_count(&bert, (4, 1)).await;
        // So are ignored users and muted rooms left out, by the rules in force.
        let path = format!(
            "/_matrix/client/v3/pushrules/global/room/{}",
            encode(&rooms[0])
        );
        bert.put(&path, json!({"actions": []})).await.ok();
        let all = page(&bert, "").await;
        assert_eq!(counted(&bert).await.0, unread(&all));
        assert_eq!(list(&all["notifications"]).len(), 4, "{all}");
        let path = user_path(&bert.user_id, "account_data/m.ignored_user_list");
        let ignored = json!({"ignored_users": {&*anna.user_id: {}}});
        bert.put(&path, ignored).await.ok();
        assert!(events(&page(&bert, "").await).is_empty());
        let refused = "/_matrix/client/v3/notifications?from=nonsense";
        bert.get(refused).await.refused(400, "M_INVALID_PARAM");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn they_outlive_the_server() {
    on_own_servers(&[], async |server| {
        let anna = server.register("anna").await;
        let bert = server.register("bert").await;
        let room_id = anna.create_room(json!({"preset": "public_chat"})).await;
        bert.join(&room_id).await;
        for number in 0..50 {
            anna.say(&room_id, &format!("number {number}")).await;
        }
        let before = page(&bert, "limit=45").await;
        assert_eq!(list(&before["notifications"]).len(), 45);
        server.restart();
        let bert = bert.at(server.base());
        let after = page(&bert, "limit=45").await;
        assert_eq!(events(&after), events(&before));
        assert_eq!(after["next_token"], before["next_token"]);
        let token = before["next_token"].as_str().expect("a token");
        let rest = page(&bert, &format!("from={}", encode(token))).await;
        assert_eq!(list(&rest["notifications"]).len(), 5);
        comes_to_count(&bert, (50, 0)).await;
    })
    .await;
}

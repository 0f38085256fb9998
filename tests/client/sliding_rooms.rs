//! Sliding sync: what it tells of rooms, and the extensions.

use serde_json::{Value, json};

use super::{
    props::{ids, text},
    sliding_sync::{Slider, rooms},
    stage::on_each_engine,
};
use crate::harness::client::encode;

fn keys(room: &Value) -> Vec<(String, String)> {
    let events = room["required_state"].as_array();
    let mut keys: Vec<_> = events
        .into_iter()
        .flatten()
        .map(|event| (text(&event["type"]), text(&event["state_key"])))
        .collect();
    keys.sort();
    keys
}

fn key(event_type: &str, state_key: &str) -> (String, String) {
    (event_type.to_owned(), state_key.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn required_state_is_told_as_it_is_wanted() {
    on_each_engine(async |stage| {
        let [anna, bert, carl] = stage.users(["anna", "bert", "carl"]).await;
        let room_id = anna
            .create_room(json!({"preset": "public_chat", "name": "A room"}))
            .await;
        bert.join(&room_id).await;
        carl.join(&room_id).await;
        anna.say(&room_id, "hello").await;
        bert.now_in(&room_id).await;
        let mut slider = Slider::with_list(&bert, 9, 1);
        let list = &mut slider.body["lists"]["all"];
        list["required_state"] = json!([
            ["m.room.member", "$LAZY"],
            ["m.room.member", "$ME"],
            ["m.room.name", ""]
        ]);
        let room = slider.room(&room_id).await;
        let members = [&anna.user_id, &bert.user_id].map(|user| key("m.room.member", user));
        let mut wanted = vec![key("m.room.name", "")];
        wanted.extend(members);
        wanted.sort();
        assert_eq!(keys(&room), wanted);
        // A sender that is known needs no member event; another does.
        anna.say(&room_id, "known").await;
        assert!(keys(&slider.room(&room_id).await).is_empty());
        carl.say(&room_id, "new").await;
        let room = slider.room(&room_id).await;
        assert_eq!(keys(&room), [key("m.room.member", &carl.user_id)]);
        // What is required in addition is told at once, what changes when it does.
        slider.body["lists"]["all"]["required_state"] = json!([
            ["m.room.name", ""],
            ["m.room.join_rules", "*"],
            ["m.room.topic", ""]
        ]);
        let room = slider.room(&room_id).await;
        assert_eq!(keys(&room), [key("m.room.join_rules", "")]);
        assert_eq!(room["timeline"], Value::Null);
        anna.set_state(&room_id, "m.room.name", "", json!({"name": "B"}))
            .await
            .ok();
        let room = slider.room(&room_id).await;
        assert_eq!(keys(&room), [key("m.room.name", "")]);
        assert_eq!(room["name"], "B");
        slider.body["lists"]["all"]["required_state"] = json!([["*", "*"]]);
        let room = slider.room(&room_id).await;
        assert!(keys(&room).contains(&key("m.room.create", "")));
        assert!(keys(&room).contains(&key("m.room.member", &carl.user_id)));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_with_a_longer_timeline_shows_more() {
    on_each_engine(async |stage| {
        let anna = stage.user("anna").await;
        let room_id = anna.create_room(json!({})).await;
        let mut sent = Vec::new();
        for line in 0..6 {
            sent.push(anna.say(&room_id, &line.to_string()).await);
        }
        anna.now_in(&room_id).await;
        let mut slider = Slider::with_list(&anna, 9, 1);
        let room = slider.room(&room_id).await;
        assert_eq!(ids(&room["timeline"]), sent[5..]);
        slider.body["room_subscriptions"] = json!({room_id.clone(): {"timeline_limit": 4, "required_state": []}});
        let room = slider.room(&room_id).await;
        assert_eq!(ids(&room["timeline"]), sent[2..]);
        assert_eq!(room["unstable_expanded_timeline"], true);
        assert_eq!((&room["initial"], &room["num_live"]), (&Value::Null, &json!(0)));
        assert_eq!(room["limited"], true);
        assert!(rooms(&slider.next(0).await).is_empty());
        // A subscription alone is enough.
        let mut alone = Slider::new(
            &anna,
            json!({"conn_id": "alone", "room_subscriptions": slider.body["room_subscriptions"]}),
        );
        let answer = alone.next(0).await;
        assert_eq!(ids(&answer["rooms"][&room_id]["timeline"]), sent[2..]);
        let unknown = json!({"room_subscriptions": {"!nowhere:playhouse.test": {"timeline_limit": 1, "required_state": []}}});
        assert!(rooms(&Slider::new(&anna, unknown).next(0).await).is_empty());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn invites_joins_and_departures() {
    on_each_engine(async |stage| {
        let [anna, bert] = stage.users(["anna", "bert"]).await;
        let mut slider = Slider::with_list(&bert, 9, 10);
        slider.next(0).await;
        let room_id = anna
            .create_room(json!({"name": "Called", "invite": [bert.user_id]}))
            .await;
        let room = slider.room(&room_id).await;
        assert_eq!(
            (&room["initial"], &room["name"]),
            (&json!(true), &json!("Called"))
        );
        let stripped = room["invite_state"].as_array().expect("stripped state");
        assert!(
            stripped
                .iter()
                .any(|event| event["state_key"] == *bert.user_id)
        );
        assert_eq!(room["timeline"], Value::Null);
        let hidden = anna.say(&room_id, "not yet").await;
        bert.join(&room_id).await;
        let room = slider.room(&room_id).await;
        assert_eq!(
            (&room["initial"], &room["joined_count"]),
            (&json!(true), &json!(2))
        );
        assert!(ids(&room["timeline"]).contains(&hidden));
        let path = format!("/_matrix/client/v3/rooms/{}/kick", encode(&room_id));
        anna.post(&path, json!({"user_id": bert.user_id}))
            .await
            .ok();
        let room = slider.room(&room_id).await;
        let last = room["timeline"].as_array().and_then(|events| events.last());
        let last = last.expect("the kick");
        assert_eq!(last["content"]["membership"], "leave");
        let answer = slider.next(0).await;
        assert!(rooms(&answer).is_empty());
        assert_eq!(answer["lists"]["all"]["count"], 0);
        // What happens there now is not told, and who comes back begins anew.
        anna.say(&room_id, "among us").await;
        let path = format!("/_matrix/client/v3/rooms/{}/invite", encode(&room_id));
        anna.post(&path, json!({"user_id": bert.user_id}))
            .await
            .ok();
        let room = slider.room(&room_id).await;
        assert!(room["invite_state"].is_array());
        let path = format!("/_matrix/client/v3/rooms/{}/leave", encode(&room_id));
        bert.post(&path, json!({})).await.ok();
        let room = slider.room(&room_id).await;
        assert_eq!(ids(&room["timeline"]).len(), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn to_device_messages_come_once_to_who_acknowledges() {
    on_each_engine(async |stage| {
        let [anna, bert] = stage.users(["anna", "bert"]).await;
        let body = json!({"extensions": {"to_device": {"enabled": true, "limit": 2}, "e2ee": {"enabled": true}}});
        let mut slider = Slider::new(&bert, body);
        let answer = slider.next(0).await;
        let extensions = &answer["extensions"];
        assert!(extensions["to_device"]["next_batch"].is_string());
        assert_eq!(extensions["e2ee"]["device_one_time_keys_count"]["signed_curve25519"], 0);
        for number in 0..3 {
            let path = format!("/_matrix/client/v3/sendToDevice/m.test/{number}");
            let messages = json!({"messages": {bert.user_id.clone(): {"*": {"number": number}}}});
            anna.put(&path, messages).await.ok();
        }
        let numbers = |answer: &Value| -> Vec<u64> {
            let events = answer["extensions"]["to_device"]["events"].as_array();
            let number = |event: &Value| event["content"]["number"].as_u64();
            events.into_iter().flatten().filter_map(number).collect()
        };
        let first = slider.ask(10_000).await;
        assert_eq!(numbers(&first), [0, 1]);
        // The answer was lost.
        let again = slider.next(0).await;
        assert_eq!(numbers(&again), [0, 1]);
        let since = &mut slider.body["extensions"]["to_device"]["since"];
        *since = again["extensions"]["to_device"]["next_batch"].clone();
        let rest = slider.next(10_000).await;
        assert_eq!(numbers(&rest), [2]);
        let since = &mut slider.body["extensions"]["to_device"]["since"];
        *since = rest["extensions"]["to_device"]["next_batch"].clone();
        assert!(numbers(&slider.next(0).await).is_empty());
        slider.body["extensions"]["to_device"]["since"] = json!("nonsense");
        let path = slider.path(0);
        let answer = bert.post(&path, slider.body.clone()).await;
        answer.refused(400, "M_INVALID_PARAM");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn device_lists_follow_who_comes_and_goes() {
    on_each_engine(async |stage| {
        let [anna, bert] = stage.users(["anna", "bert"]).await;
        let room_id = anna.create_room(json!({"preset": "public_chat"})).await;
        let mut slider = Slider::new(
            &anna,
            json!({"conn_id": "e2ee", "extensions": {"e2ee": {"enabled": true}}}),
        );
        slider.next(0).await;
        let told = |answer: &Value, list: &str| {
            let users = answer["extensions"]["e2ee"]["device_lists"][list].as_array();
            users.is_some_and(|users| users.contains(&json!(bert.user_id)))
        };
        bert.join(&room_id).await;
        slider.until(|answer| told(answer, "changed")).await;
        bert.login_again().await;
        slider.until(|answer| told(answer, "changed")).await;
        let path = format!("/_matrix/client/v3/rooms/{}/leave", encode(&room_id));
        bert.post(&path, json!({})).await.ok();
        slider.until(|answer| told(answer, "left")).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn account_data_receipts_and_typing_are_told_where_they_are_wanted() {
    on_each_engine(async |stage| {
        let [anna, bert] = stage.users(["anna", "bert"]).await;
        let wish = json!({"preset": "public_chat"});
        let [one, other] = [anna.create_room(wish.clone()).await, anna.create_room(wish).await];
        bert.join(&one).await;
        bert.join(&other).await;
        let read = anna.say(&one, "read me").await;
        bert.now_in_all(&[one.clone(), other.clone()]).await;
        let mut slider = Slider::with_list(&bert, 9, 5);
        slider.body["extensions"] = json!({
            "account_data": {"enabled": true}, "receipts": {"enabled": true}, "typing": {"enabled": true, "lists": ["all"]},
        });
        let answer = slider
            .until(|answer| rooms(answer).contains_key(&one))
            .await;
        let global = &answer["extensions"]["account_data"]["global"];
        assert!(global.as_array().is_some_and(|data| !data.is_empty()), "push rules");

        let base = format!("/_matrix/client/v3/user/{}", encode(&bert.user_id));
        let path = format!("{base}/rooms/{}/account_data/org.example", encode(&one));
        bert.put(&path, json!({"a": 1})).await.ok();
        let answer = slider
            .until(|answer| !answer["extensions"]["account_data"].is_null())
            .await;
        let data = &answer["extensions"]["account_data"];
        assert_eq!(data["rooms"][&one][0]["content"]["a"], 1);
        assert_eq!(data["global"], json!([]));

        let path = format!("/_matrix/client/v3/rooms/{}/receipt/m.read/{}", encode(&one), encode(&read));
        anna.post(&path, json!({})).await.ok();
        let answer = slider
            .until(|answer| !answer["extensions"]["receipts"].is_null())
            .await;
        let receipt = &answer["extensions"]["receipts"]["rooms"][&one]["content"][&read];
        assert!(receipt["m.read"][&anna.user_id].is_object(), "{answer}");
        assert!(rooms(&answer).is_empty());
        // One's own changes the counts, too.
        bert.post(&path, json!({})).await.ok();
        let room = slider.room(&one).await;
        assert_eq!(room["notification_count"], 0);

        let path = format!("/_matrix/client/v3/rooms/{}/typing/{}", encode(&one), encode(&anna.user_id));
        anna.put(&path, json!({"typing": true, "timeout": 120_000})).await.ok();
        let answer = slider
            .until(|answer| !answer["extensions"]["typing"].is_null())
            .await;
        let typing = &answer["extensions"]["typing"]["rooms"][&one]["content"]["user_ids"];
        assert_eq!(*typing, json!([anna.user_id]));

        // Whatever was not wanted for a while is told when it is.
        slider.body["extensions"]["receipts"]["lists"] = json!([]);
        slider.body["extensions"]["account_data"]["enabled"] = json!(false);
        let newer = anna.say(&one, "newer").await;
        let path = format!("/_matrix/client/v3/rooms/{}/receipt/m.read/{}", encode(&one), encode(&newer));
        anna.post(&path, json!({})).await.ok();
        let path = format!("{base}/account_data/org.example.global");
        bert.put(&path, json!({"b": 2})).await.ok();
        slider.room(&one).await;
        anna.say(&one, "and more").await;
        let answer = slider
            .until(|answer| rooms(answer).contains_key(&one))
            .await;
        assert_eq!(answer["extensions"]["receipts"], Value::Null);
        slider.body["extensions"]["receipts"] = json!({"enabled": true});
        slider.body["extensions"]["account_data"]["enabled"] = json!(true);
        let answer = slider.next(0).await;
        let receipt = &answer["extensions"]["receipts"]["rooms"][&one]["content"][&newer];
        assert!(receipt["m.read"][&anna.user_id].is_object(), "{answer}");
        let global = &answer["extensions"]["account_data"]["global"];
        assert_eq!(global[0]["content"]["b"], 2);
    })
    .await;
}

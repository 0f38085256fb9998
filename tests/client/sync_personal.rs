//! `/sync` v2: what concerns one user: to-device messages, keys, account data, presence, typing, receipts, counts.

use serde_json::{Value, json};

use super::{
    props::{filter, next_batch, of_type, room_path, texts, user_path},
    stage::{on_each_engine, on_own_servers},
};
use crate::harness::{Client, client::encode};

async fn send_to_device(from: &Client, to: &Client, transaction: &str, body: &str) {
    let path = format!("/_matrix/client/v3/sendToDevice/org.example.note/{transaction}");
    let messages = json!({&to.user_id: {&to.device_id: {"body": body}}});
    from.put(&path, json!({ "messages": messages })).await.ok();
}

fn notes(answer: &Value) -> Vec<String> {
    match &answer["to_device"]["events"] {
        Value::Null => Vec::new(),
        events => texts(events, "/content/body"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn to_device_messages_stay_until_the_next_token_and_go_then() {
    on_each_engine(async |stage| {
        let [anna, bert] = stage.users(["anna", "bert"]).await;
        let phone = bert.login_again().await;
        let since = bert.now().await;
        send_to_device(&anna, &bert, "one", "first").await;
        send_to_device(&anna, &bert, "one", "first").await;
        send_to_device(&anna, &bert, "two", "second").await;
        bert.sync_until(&since, "", |answer| notes(answer).len() == 2)
            .await;
        // The answer may have been lost: the old token gives them again.
        let again = bert.sync(Some(&since), "").await;
        assert_eq!(notes(&again), ["first", "second"]);
        let event = &again["to_device"]["events"][0];
        assert_eq!(event["sender"], *anna.user_id);
        assert_eq!(event["type"], "org.example.note");
        // The new token says that they have arrived.
        let next = bert.sync(Some(&next_batch(&again)), "").await;
        assert_eq!(notes(&next), [""; 0]);
        assert_eq!(notes(&bert.sync(None, "").await), [""; 0]);
        assert_eq!(notes(&phone.sync(None, "").await), [""; 0]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn to_device_messages_come_a_hundred_at_a_time_in_order() {
    on_each_engine(async |stage| {
        let [anna, bert] = stage.users(["anna", "bert"]).await;
        let mut since = bert.now().await;
        for number in 0..130 {
            send_to_device(&anna, &bert, &format!("t{number}"), &number.to_string()).await;
        }
        let mut seen = Vec::new();
        while seen.len() < 130 {
            let answer = bert
                .sync_until(&since, "", |answer| !notes(answer).is_empty())
                .await;
            let notes = notes(&answer);
            assert!(notes.len() <= 100, "{} at once", notes.len());
            seen.extend(notes);
            since = next_batch(&answer);
        }
        let wanted: Vec<_> = (0..130).map(|number: u32| number.to_string()).collect();
        assert_eq!(seen, wanted);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_star_reaches_all_devices() {
    on_each_engine(async |stage| {
        let [anna, bert] = stage.users(["anna", "bert"]).await;
        let phone = bert.login_again().await;
        let (here, there) = (bert.now().await, phone.now().await);
        let path = "/_matrix/client/v3/sendToDevice/org.example.note/star";
        let body = json!({"messages": {&bert.user_id: {"*": {"body": "all"}}}});
        anna.put(path, body).await.ok();
        bert.sync_until(&here, "", |answer| notes(answer) == ["all"])
            .await;
        phone
            .sync_until(&there, "", |answer| notes(answer) == ["all"])
            .await;
        // The transaction belongs to the path: another type is another request.
        let path = "/_matrix/client/v3/sendToDevice/org.example.other/star";
        let body = json!({"messages": {&bert.user_id: {"*": {"body": "more"}}}});
        anna.put(path, body).await.ok();
        bert.sync_until(&here, "", |answer| {
            notes(answer).contains(&"more".to_owned())
        })
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn key_counts_stand_in_every_sync() {
    on_each_engine(async |stage| {
        let [anna, bert] = stage.users(["anna", "bert"]).await;
        let first = anna.sync(None, "").await;
        assert_eq!(first["device_one_time_keys_count"]["signed_curve25519"], 0);
        assert_eq!(first["device_unused_fallback_key_types"], json!([]));
        let key = |name: &str| json!({"key": name, "signatures": {&anna.user_id: {"ed25519:X": "s"}}});
        let upload = json!({
            "one_time_keys": {"signed_curve25519:A": key("a"), "signed_curve25519:B": key("b")},
            "fallback_keys": {"signed_curve25519:F": {"key": "f", "fallback": true, "signatures": {}}}
        });
        let path = "/_matrix/client/v3/keys/upload";
        let counts = anna.post(path, upload).await.ok();
        assert_eq!(counts["one_time_key_counts"]["signed_curve25519"], 2);
        let answer = anna.sync(Some(&next_batch(&first)), "").await;
        assert_eq!(answer["device_one_time_keys_count"]["signed_curve25519"], 2);
        assert_eq!(answer["device_unused_fallback_key_types"], json!(["signed_curve25519"]));
        let claim = json!({"one_time_keys": {&anna.user_id: {&anna.device_id: "signed_curve25519"}}});
        let mut given = Vec::new();
        for _ in 0..4 {
            let answer = bert.post("/_matrix/client/v3/keys/claim", claim.clone()).await.ok();
            let keys = &answer["one_time_keys"][&anna.user_id][&anna.device_id];
            given.extend(keys.as_object().expect("keys").keys().cloned());
        }
        let name = |letter: &str| format!("signed_curve25519:{letter}");
        assert_eq!(given, ["A", "B", "F", "F"].map(name));
        let answer = anna.sync(Some(&next_batch(&answer)), "").await;
        assert_eq!(answer["device_one_time_keys_count"]["signed_curve25519"], 0);
        assert_eq!(answer["device_unused_fallback_key_types"], json!([]));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn device_lists_tell_of_new_keys_and_of_partings() {
    on_each_engine(async |stage| {
        let [anna, bert] = stage.users(["anna", "bert"]).await;
        let encryption = json!({"type": "m.room.encryption", "state_key": "", "content": {"algorithm": "m.megolm.v1.aes-sha2"}});
        let room_id = anna
            .create_room(json!({"preset": "public_chat", "initial_state": [encryption]}))
            .await;
        let has = |answer: &Value, list: &str, user: &Client| {
            let users = answer["device_lists"][list].as_array();
            users.is_some_and(|users| users.contains(&json!(user.user_id)))
        };
        let since = anna.now_in(&room_id).await;
        bert.join(&room_id).await;
        let answer = anna.sync_until(&since, "", |answer| has(answer, "changed", &bert)).await;
        let since = next_batch(&answer);
        let keys = json!({"device_keys": {
            "user_id": bert.user_id, "device_id": bert.device_id, "algorithms": ["m.olm.v1.curve25519-aes-sha2"],
            "keys": {format!("ed25519:{}", bert.device_id): "k"}, "signatures": {}
        }});
        bert.post("/_matrix/client/v3/keys/upload", keys).await.ok();
        let answer = anna.sync_until(&since, "", |answer| has(answer, "changed", &bert)).await;
        let since = next_batch(&answer);
        bert.leave(&room_id).await;
        anna.sync_until(&since, "", |answer| has(answer, "left", &bert)).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn account_data_is_told_to_all_own_devices() {
    on_each_engine(async |stage| {
        let anna = stage.user("anna").await;
        let phone = anna.login_again().await;
        let room_id = anna.create_room(json!({})).await;
        let since = phone.now_in(&room_id).await;
        let path = user_path(&anna.user_id, "account_data/org.example.global");
        anna.put(&path, json!({"a": 1})).await.ok();
        let rest = format!("rooms/{}/account_data/org.example.room", encode(&room_id));
        anna.put(&user_path(&anna.user_id, &rest), json!({"b": 2}))
            .await
            .ok();
        let rest = format!("rooms/{}/tags/u.work", encode(&room_id));
        anna.put(&user_path(&anna.user_id, &rest), json!({"order": 0.5}))
            .await
            .ok();
        let answer = phone.sync(Some(&since), "").await;
        let global = of_type(&answer["account_data"]["events"], "org.example.global");
        assert_eq!(global["content"], json!({"a": 1}));
        let room = &answer["rooms"]["join"][&room_id];
        let events = &room["account_data"]["events"];
        assert_eq!(
            of_type(events, "org.example.room")["content"],
            json!({"b": 2})
        );
        let tags = json!({"tags": {"u.work": {"order": 0.5}}});
        assert_eq!(of_type(events, "m.tag")["content"], tags);
        let next = phone.sync(Some(&next_batch(&answer)), "").await;
        assert!(next["rooms"]["join"].get(&room_id).is_none(), "{next}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn presence_reaches_those_who_share_a_room() {
    on_each_engine(async |stage| {
        let [anna, bert, carl] = stage.users(["anna", "bert", "carl"]).await;
        let room_id = anna.create_room(json!({"preset": "public_chat"})).await;
        bert.join(&room_id).await;
        let since = bert.now_in(&room_id).await;
        let status = |user: &Client| {
            format!(
                "/_matrix/client/v3/presence/{}/status",
                encode(&user.user_id)
            )
        };
        let body = json!({"presence": "unavailable", "status_msg": "out"});
        anna.put(&status(&anna), body.clone()).await.ok();
        let of_anna = |answer: &Value| {
            let events = answer["presence"]["events"].as_array();
            events.into_iter().flatten().any(|event| {
                event["sender"] == *anna.user_id && event["content"]["status_msg"] == "out"
            })
        };
        bert.sync_until(&since, "", of_anna).await;
        let told = bert.get(&status(&anna)).await.ok();
        assert_eq!(
            (&told["presence"], &told["status_msg"]),
            (&json!("unavailable"), &json!("out"))
        );
        carl.get(&status(&anna)).await.refused(403, "M_FORBIDDEN");
        bert.put(&status(&anna), body)
            .await
            .refused(403, "M_FORBIDDEN");
        bert.put(&status(&bert), json!({"presence": "asleep"}))
            .await
            .refused(400, "M_BAD_JSON");
    })
    .await;
}

fn typing(answer: &Value, room_id: &str) -> Option<Value> {
    let events = &answer["rooms"]["join"][room_id]["ephemeral"]["events"];
    let event = events
        .as_array()?
        .iter()
        .find(|event| event["type"] == "m.typing")?;
    Some(event["content"]["user_ids"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn typing_begins_and_ends() {
    on_own_servers(&[], async |server| {
        let (mut anna, mut bert) = (server.register("anna").await, server.register("bert").await);
        let room_id = anna.create_room(json!({"preset": "public_chat"})).await;
        bert.join(&room_id).await;
        let since = bert.now_in(&room_id).await;
        let path = room_path(&room_id, &format!("typing/{}", encode(&anna.user_id)));
        let body = json!({"typing": true, "timeout": 60_000});
        anna.put(&path, body.clone()).await.ok();
        bert.put(&path, body.clone())
            .await
            .refused(403, "M_FORBIDDEN");
        let is = |answer: &Value, wanted: Value| typing(answer, &room_id) == Some(wanted);
        let answer = bert
            .sync_until(&since, "", |answer| is(answer, json!([anna.user_id])))
            .await;
        anna.put(&path, json!({"typing": false})).await.ok();
        let answer = bert
            .sync_until(&next_batch(&answer), "", |answer| is(answer, json!([])))
            .await;
        anna.put(&path, body).await.ok();
        let answer = bert
            .sync_until(&next_batch(&answer), "", |answer| {
                is(answer, json!([anna.user_id]))
            })
            .await;
        // Nobody types in a house that has just opened, and who believed so is told.
        server.restart();
        (anna, bert) = (anna.at(server.base()), bert.at(server.base()));
        bert.sync_until(&next_batch(&answer), "", |answer| is(answer, json!([])))
            .await;
        drop(anna);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn receipts_reach_those_whom_they_concern() {
    on_each_engine(async |stage| {
        let [anna, bert] = stage.users(["anna", "bert"]).await;
        let room_id = anna.create_room(json!({"preset": "public_chat"})).await;
        bert.join(&room_id).await;
        let since = anna.now_in(&room_id).await;
        let root = anna.say(&room_id, "root").await;
        let reply = json!({"body": "in thread", "m.relates_to": {"rel_type": "m.thread", "event_id": root}});
        let reply = anna.send(&room_id, "m.room.message", reply).await;
        let later = anna.say(&room_id, "later").await;
        let receipt = async |kind: &str, event_id: &str, body: Value| {
            let rest = format!("receipt/{kind}/{}", encode(event_id));
            bert.act(&room_id, &rest, body).await
        };
        let before = bert.now_in(&room_id).await;
        receipt("m.read.private", &later, json!({})).await.ok();
        receipt("m.read", &root, json!({"thread_id": "main"})).await.ok();
        receipt("m.read", &reply, json!({"thread_id": root})).await.ok();
        let content = |answer: &Value| {
            let events = &answer["rooms"]["join"][&room_id]["ephemeral"]["events"];
            if events.is_null() { json!({}) } else { of_type(events, "m.receipt")["content"].clone() }
        };
        let has_reply = |answer: &Value| content(answer).get(&reply).is_some();
        anna.sync_until(&since, "", has_reply).await;
        let told = content(&anna.sync(Some(&since), "").await);
        let of_bert = |event_id: &str, kind: &str| told[event_id][kind][&bert.user_id].clone();
        assert_eq!(of_bert(&root, "m.read")["thread_id"], "main", "{told}");
        assert_eq!(of_bert(&reply, "m.read")["thread_id"], *root, "{told}");
        assert!(of_bert(&root, "m.read")["ts"].is_u64());
        assert!(told.get(&later).is_none(), "private receipts are private: {told}");
        let has_own = |answer: &Value| content(answer)[&later]["m.read.private"].get(&bert.user_id).is_some();
        bert.sync_until(&before, "", has_own).await;
        receipt("m.unheard_of", &root, json!({})).await.refused(400, "M_INVALID_PARAM");
        receipt("m.fully_read", &root, json!({})).await.ok();
        let rest = format!("rooms/{}/account_data/m.fully_read", encode(&room_id));
        let marker = bert.get(&user_path(&bert.user_id, &rest)).await.ok();
        assert_eq!(marker["event_id"], *root);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unread_counts_come_with_the_event_and_go_with_the_receipt() {
    on_each_engine(async |stage| {
        let [anna, bert] = stage.users(["anna", "bert"]).await;
        let room_id = anna.create_room(json!({"preset": "public_chat"})).await;
        bert.join(&room_id).await;
        let since = bert.now_in(&room_id).await;
        let root = anna.say(&room_id, "one").await;
        let mention = json!({"body": "two", "m.mentions": {"user_ids": [bert.user_id]}});
        let mention = anna.send(&room_id, "m.room.message", mention).await;
        let counts = |answer: &Value| {
            let unread = &answer["rooms"]["join"][&room_id]["unread_notifications"];
            (
                unread["notification_count"].as_u64(),
                unread["highlight_count"].as_u64(),
            )
        };
        bert.sync_to(&since, &room_id, &mention).await;
        let answer = bert.sync(Some(&since), "").await;
        assert_eq!(counts(&answer), (Some(2), Some(1)));
        let thread =
            json!({"body": "three", "m.relates_to": {"rel_type": "m.thread", "event_id": root}});
        let threaded = anna.send(&room_id, "m.room.message", thread).await;
        bert.sync_to(&next_batch(&answer), &room_id, &threaded)
            .await;
        let apart = filter(&json!({"room": {"timeline": {"unread_thread_notifications": true}}}));
        let first = bert.sync(None, &apart).await;
        assert_eq!(counts(&first), (Some(2), Some(1)));
        let threads = &first["rooms"]["join"][&room_id]["unread_thread_notifications"];
        assert_eq!(threads[&root]["notification_count"], 1);
        assert_eq!(counts(&bert.sync(None, "").await), (Some(3), Some(1)));
        let since = bert.now_in(&room_id).await;
        let rest = format!("receipt/m.read/{}", encode(&threaded));
        bert.act(&room_id, &rest, json!({})).await.ok();
        bert.sync_until(&since, "", |answer| counts(answer) == (Some(0), Some(0)))
            .await;
        // One's own events never count, and they read what came before.
        bert.say(&room_id, "mine").await;
        assert_eq!(counts(&bert.sync(None, "").await), (Some(0), Some(0)));
    })
    .await;
}

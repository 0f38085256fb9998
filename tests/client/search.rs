//! `/search`.

use serde_json::{Value, json};

use super::{
    props::{room_path, texts},
    stage::{fresh, on_each_engine, on_own_servers},
};
use crate::harness::{Client, client::encode};

const PATH: &str = "/_matrix/client/v3/search";

/// Searches by a term; `more` is added to the criteria.
async fn search(client: &Client, next: &Value, term: &str, more: Value) -> Value {
    let mut criteria = json!({"search_term": term, "order_by": "recent"});
    for (name, value) in more.as_object().expect("an object") {
        criteria[name] = value.clone();
    }
    let next = next.as_str().map(encode);
    let query = next.map(|next| format!("?next_batch={next}"));
    let path = format!("{PATH}{}", query.unwrap_or_default());
    let body = json!({"search_categories": {"room_events": criteria}});
    let answer = client.post(&path, body).await.ok();
    answer["search_categories"]["room_events"].clone()
}

async fn found(client: &Client, term: &str) -> Vec<String> {
    let page = search(client, &Value::Null, term, json!({})).await;
    let events = texts(&page["results"], "/result/event_id");
    assert_eq!(page["count"], events.len(), "{page}");
    events
}

async fn redact(client: &Client, room_id: &str, event_id: &str) {
    let path = room_path(
        room_id,
        &format!("redact/{}/x{}", encode(event_id), fresh("")),
    );
    client.put(&path, json!({})).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_found_with_what_is_around_them() {
    on_each_engine(async |stage| {
        let [anna, bert] = stage.users(["anna", "bert"]).await;
        let word = fresh("Wörd");
        let room_id = anna
            .create_room(json!({"preset": "public_chat", "name": format!("Room of {word}")}))
            .await;
        bert.join(&room_id).await;
        let before = anna.say(&room_id, "before").await;
        let first = anna
            .say(&room_id, &format!("one {word} among many others"))
            .await;
        let between = bert.say(&room_id, "between").await;
        let second = bert.say(&room_id, &format!("東京都{word}!")).await;
        let lower = word.to_lowercase();
        let more = json!({
            "event_context": {"before_limit": 1, "after_limit": 1, "include_profile": true},
            "include_state": true, "keys": ["content.body"],
            "groupings": {"group_by": [{"key": "room_id"}, {"key": "sender"}]},
        });
        let page = search(&anna, &Value::Null, &lower, more).await;
        assert_eq!(
            texts(&page["results"], "/result/event_id"),
            [&*second, &*first]
        );
        assert_eq!(
            (&page["count"], &page["highlights"]),
            (&json!(2), &json!([lower]))
        );
        assert!(page.get("next_batch").is_none(), "{page}");
        let result = &page["results"][1];
        assert!(result["rank"].is_number());
        assert_eq!(result["result"]["room_id"], room_id);
        let context = &result["context"];
        assert_eq!(texts(&context["events_before"], "/event_id"), [&*before]);
        assert_eq!(texts(&context["events_after"], "/event_id"), [&*between]);
        let profiles = context["profile_info"].as_object().expect("profiles");
        assert!(profiles.contains_key(&anna.user_id) && profiles.contains_key(&bert.user_id));
        let path = room_path(
            &room_id,
            &format!(
                "messages?dir=b&limit=1&from={}",
                context["start"].as_str().expect("a token")
            ),
        );
        assert_ne!(anna.get(&path).await.ok()["chunk"][0]["event_id"], before);
        let state = page["state"][&room_id].as_array().expect("state");
        assert!(state.iter().any(|event| event["type"] == "m.room.create"));
        let groups = &page["groups"];
        assert_eq!(
            groups["room_id"][&room_id]["results"],
            json!([second, first])
        );
        assert_eq!(groups["sender"][&anna.user_id]["results"], json!([first]));
        assert_eq!(groups["sender"][&anna.user_id]["order"], 1);
        // By rank, in names, in part, by sender.
        let page = search(
            &anna,
            &Value::Null,
            &word,
            json!({"order_by": "rank", "keys": ["content.body"]}),
        )
        .await;
        assert!(page["results"][0].get("context").is_none());
        assert_eq!(page["results"].as_array().map(Vec::len), Some(2));
        let page = search(
            &anna,
            &Value::Null,
            &word,
            json!({"keys": ["content.name"]}),
        )
        .await;
        assert_eq!(page["results"][0]["result"]["type"], "m.room.name");
        assert_eq!(found(&anna, &format!("京都 {word}")).await, [&*second]);
        let page = search(
            &anna,
            &Value::Null,
            &word,
            json!({"filter": {"senders": [anna.user_id], "types": ["m.room.message"]}}),
        )
        .await;
        assert_eq!(texts(&page["results"], "/result/event_id"), [&*first]);
        let page = search(
            &anna,
            &Value::Null,
            &word,
            json!({"filter": {"not_rooms": [room_id]}}),
        )
        .await;
        assert_eq!(page["results"], json!([]));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_and_groups_lead_on() {
    on_each_engine(async |stage| {
        let anna = stage.user("anna").await;
        let word = fresh("paged");
        let mut said = Vec::new();
        let rooms = [anna.create_room(json!({})).await, anna.create_room(json!({})).await];
        for number in 0..7 {
            said.push(anna.say(&rooms[number % 2], &format!("{word} {number}")).await);
        }
        said.reverse();
        for order in ["recent", "rank"] {
            let (mut next, mut all) = (Value::Null, Vec::new());
            loop {
                let more = json!({"filter": {"limit": 3}, "order_by": order, "groupings": {"group_by": [{"key": "room_id"}]}});
                let page = search(&anna, &next, &word, more).await;
                assert_eq!(page["count"], 7);
                all.extend(texts(&page["results"], "/result/event_id"));
                next = page["next_batch"].clone();
                if next.is_null() {
                    break;
                }
            }
            assert_eq!(all, said, "{order}");
        }
        let more = json!({"filter": {"limit": 3}, "groupings": {"group_by": [{"key": "room_id"}]}});
        let page = search(&anna, &Value::Null, &word, more.clone()).await;
        let group = &page["groups"]["room_id"][&rooms[1]];
        assert_eq!(group["results"], json!([said[1]]));
        let page = search(&anna, &group["next_batch"], &word, more).await;
        assert_eq!(texts(&page["results"], "/result/event_id"), [&*said[3], &*said[5]]);
        let body = json!({"search_categories": {"room_events": {"search_term": "x"}}});
        anna.post(&format!("{PATH}?next_batch=nonsense"), body).await.refused(400, "M_INVALID_PARAM");
        anna.post(PATH, json!({})).await.refused(400, "M_MISSING_PARAM");
        let nothing = anna.post(PATH, json!({"search_categories": {}})).await.ok();
        assert_eq!(nothing, json!({"search_categories": {}}));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_may_be_seen_is_found() {
    on_each_engine(async |stage| {
        let [anna, bert, carla] = stage.users(["anna", "bert", "carla"]).await;
        let word = fresh("secret");
        let room_id = anna.create_room(json!({"preset": "public_chat", "initial_state": [
            {"type": "m.room.history_visibility", "content": {"history_visibility": "joined"}}
        ]})).await;
        let early = anna.say(&room_id, &format!("{word} early")).await;
        bert.join(&room_id).await;
        let middle = anna.say(&room_id, &format!("{word} middle")).await;
        let leave = room_path(&room_id, "leave");
        bert.post(&leave, json!({})).await.ok();
        let late = anna.say(&room_id, &format!("{word} late")).await;
        assert_eq!(found(&anna, &word).await, [&*late, &*middle, &*early]);
        assert_eq!(found(&bert, &word).await, [&*middle]);
        assert!(found(&carla, &word).await.is_empty());
        // What is encrypted, redacted, or by somebody who is ignored.
        let content = json!({"algorithm": "m.megolm.v1.aes-sha2", "ciphertext": word, "body": word});
        anna.put(&room_path(&room_id, "send/m.room.encrypted/e"), content).await.ok();
        redact(&anna, &room_id, &late).await;
        assert_eq!(found(&anna, &word).await, [&*middle, &*early]);
        let path = format!("/_matrix/client/v3/user/{}/account_data/m.ignored_user_list", encode(&bert.user_id));
        bert.put(&path, json!({"ignored_users": {&*anna.user_id: {}}})).await.ok();
        assert!(found(&bert, &word).await.is_empty());
        bert.put(&path, json!({"ignored_users": {}})).await.ok();
        assert_eq!(found(&bert, &word).await, [&*middle]);
        bert.post(&room_path(&room_id, "forget"), json!({})).await.ok();
        assert!(found(&bert, &word).await.is_empty());
        // The messages of an erased user are found by nobody.
        carla.join(&room_id).await;
        let said = carla.say(&room_id, &format!("{word} by carla")).await;
        assert_eq!(found(&anna, &word).await, [&*said, &*middle, &*early]);
        let auth = json!({"type": "m.login.password", "identifier": {"type": "m.id.user", "user": carla.user_id}, "password": "correct horse"});
        let body = json!({"erase": true, "auth": auth});
        carla.post("/_matrix/client/v3/account/deactivate", body).await.ok();
        assert_eq!(found(&anna, &word).await, [&*middle, &*early]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_is_searched_with_the_one_that_it_replaced() {
    on_each_engine(async |stage| {
        let anna = stage.user("anna").await;
        let word = fresh("moved");
        let old = anna.create_room(json!({"room_version": "10"})).await;
        let said = anna.say(&old, &word).await;
        let answer = anna
            .post(&room_path(&old, "upgrade"), json!({"new_version": "11"}))
            .await
            .ok();
        let new = answer["replacement_room"]
            .as_str()
            .expect("a room")
            .to_owned();
        let page = search(
            &anna,
            &Value::Null,
            &word,
            json!({"filter": {"rooms": [new]}}),
        )
        .await;
        assert_eq!(texts(&page["results"], "/result/event_id"), [&*said]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_index_outlives_the_server() {
    on_own_servers(&[], async |server| {
        let anna = server.register("anna").await;
        let room_id = anna.create_room(json!({})).await;
        let first = anna.say(&room_id, "lasting").await;
        server.restart();
        let anna = anna.at(server.base());
        assert_eq!(found(&anna, "lasting").await, [&*first]);
        let second = anna.say(&room_id, "lasting too").await;
        server.kill();
        server.start_again();
        let anna = anna.at(server.base());
        assert_eq!(found(&anna, "lasting").await, [&*second, &*first]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_can_be_switched_off() {
    on_own_servers(&[("PLAYHOUSE_SEARCH_ENABLED", "false")], async |server| {
        let anna = server.register("anna").await;
        let body = json!({"search_categories": {"room_events": {"search_term": "x"}}});
        anna.post(PATH, body).await.refused(400, "M_UNKNOWN");
    })
    .await;
}

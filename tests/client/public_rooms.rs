//! `/publicRooms`. The servers are shared, so each test looks only for rooms with a word of its own in them.

use serde_json::{Value, json};

use super::{
    props::texts,
    stage::{fresh, on_each_engine, on_own_servers},
};
use crate::harness::{Client, client::encode};

const PATH: &str = "/_matrix/client/v3/publicRooms";

async fn found(client: &Client, body: Value) -> Value {
    client.post(PATH, body).await.ok()
}

#[track_caller]
fn names(page: &Value) -> Vec<String> {
    texts(&page["chunk"], "/name")
}

#[tokio::test(flavor = "multi_thread")]
async fn rooms_are_found_by_what_they_say() {
    on_each_engine(async |stage| {
        let [anna, bert] = stage.users(["anna", "bert"]).await;
        let word = fresh("Ärger");
        let room_id = anna
            .create_room(json!({
                "visibility": "public", "preset": "public_chat", "name": "Named", "topic": format!("About {word}"),
                "room_alias_name": fresh("alias"),
            }))
            .await;
        bert.join(&room_id).await;
        let space = anna
            .create_room(json!({
                "visibility": "public", "name": word, "creation_content": {"type": "m.space"}
            }))
            .await;
        anna.create_room(json!({"name": word})).await;
        let search = |types: Value| {
            let term = word.to_lowercase();
            json!({"filter": {"generic_search_term": term, "room_types": types}})
        };
        let page = found(&bert, search(Value::Null)).await;
        assert_eq!(names(&page), ["Named", &word], "{page}");
        assert!(page.get("next_batch").is_none() && page.get("prev_batch").is_none());
        assert!(page["total_room_count_estimate"].as_u64() >= Some(2));
        let room = &page["chunk"][0];
        assert_eq!(room["room_id"], room_id);
        assert_eq!(room["num_joined_members"], 2);
        // Without a join rule a room counts as public.
        assert!(room.get("join_rule").is_none());
        assert_eq!(room["world_readable"], false);
        assert_eq!(room["guest_can_join"], false);
        assert!(room["canonical_alias"].is_string());
        let page = found(&bert, search(json!(["m.space"]))).await;
        assert_eq!(texts(&page["chunk"], "/room_id"), [space.as_str()]);
        assert_eq!(page["chunk"][0]["room_type"], "m.space");
        assert_eq!(names(&found(&bert, search(json!([null]))).await), ["Named"]);
        // Taken from the list, without its members, or without its topic, it is found no more.
        let path = format!("/_matrix/client/v3/directory/list/room/{}", encode(&space));
        anna.put(&path, json!({"visibility": "private"})).await.ok();
        assert_eq!(names(&found(&bert, search(Value::Null)).await), ["Named"]);
        let topic = anna.set_state(&room_id, "m.room.topic", "", json!({"topic": &word})).await.ok();
        let event_id = topic["event_id"].as_str().expect("an event ID");
        let path = super::props::room_path(&room_id, &format!("redact/{}/x", encode(event_id)));
        anna.put(&path, json!({})).await.ok();
        assert!(names(&found(&bert, search(Value::Null)).await).is_empty());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_lead_forth_and_back() {
    on_each_engine(async |stage| {
        let [anna, bert] = stage.users(["anna", "bert"]).await;
        let word = fresh("paged");
        let mut rooms = Vec::new();
        for _ in 0..5 {
            let body = json!({"visibility": "public", "preset": "public_chat", "name": word});
            rooms.push(anna.create_room(body).await);
        }
        rooms.sort();
        let biggest = rooms.remove(3);
        bert.join(&biggest).await;
        rooms.insert(0, biggest);
        let page = async |since: &Value| {
            let mut body = json!({"limit": 2, "filter": {"generic_search_term": word}});
            if since.is_string() {
                body["since"] = since.clone();
            }
            let page = found(&anna, body).await;
            (texts(&page["chunk"], "/room_id"), page)
        };
        let (first, answer) = page(&Value::Null).await;
        assert_eq!(first, rooms[..2]);
        assert!(answer.get("prev_batch").is_none());
        let (second, answer) = page(&answer["next_batch"]).await;
        assert_eq!(second, rooms[2..4]);
        let (last, end) = page(&answer["next_batch"]).await;
        assert_eq!(last, rooms[4..]);
        assert!(end.get("next_batch").is_none());
        let (again, answer) = page(&end["prev_batch"]).await;
        assert_eq!(again, rooms[2..4]);
        let (again, answer) = page(&answer["prev_batch"]).await;
        assert_eq!(again, rooms[..2]);
        assert!(answer.get("prev_batch").is_none());
        assert_eq!(page(&answer["next_batch"]).await.0, rooms[2..4]);
        let body = json!({"since": "nonsense"});
        anna.post(PATH, body).await.refused(400, "M_INVALID_PARAM");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn networks_and_servers() {
    on_each_engine(async |stage| {
        let anna = stage.user("anna").await;
        let word = fresh("network");
        anna.create_room(json!({"visibility": "public", "name": word}))
            .await;
        let search = |more: Value| {
            let mut body = json!({"filter": {"generic_search_term": word}});
            for (name, value) in more.as_object().expect("an object") {
                body[name] = value.clone();
            }
            body
        };
        let all = found(&anna, search(json!({"include_all_networks": true}))).await;
        assert_eq!(names(&all), [word.as_str()]);
        let irc = search(json!({"third_party_instance_id": "irc"}));
        assert!(names(&found(&anna, irc).await).is_empty());
        let own = anna.user_id.split_once(':').expect("a server name").1;
        let path = format!("{PATH}?server={}", encode(own));
        assert_eq!(
            names(&anna.post(&path, search(json!({}))).await.ok()),
            [word.as_str()]
        );
        let path = format!("{PATH}?server=elsewhere.invalid");
        anna.get(&path).await.refused(404, "M_NOT_FOUND");
        stage
            .client()
            .get(PATH)
            .await
            .refused(401, "M_MISSING_TOKEN");
        stage
            .client()
            .post(PATH, json!({}))
            .await
            .refused(401, "M_MISSING_TOKEN");
        assert!(anna.get(&format!("{PATH}?limit=1")).await.ok()["chunk"].is_array());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_may_be_opened() {
    let open = [("PLAYHOUSE_ROOMS_PUBLIC_LIST_WITHOUT_SESSION", "true")];
    on_own_servers(&open, async |server| {
        let anna = server.register("anna").await;
        anna.create_room(json!({"visibility": "public", "name": "Open"}))
            .await;
        assert_eq!(names(&anna.nobody().get(PATH).await.ok()), ["Open"]);
    })
    .await;
}

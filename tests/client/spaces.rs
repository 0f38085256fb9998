//! Spaces, room summaries, and events by time.

use serde_json::{Value, json};

use super::{
    props::{list, room_path, texts},
    stage::on_each_engine,
};
use crate::harness::{Client, client::encode};

async fn space(client: &Client, preset: &str) -> String {
    let body = json!({"preset": preset, "creation_content": {"type": "m.space"}});
    client.create_room(body).await
}

async fn put_into(client: &Client, space: &str, child: &str, mut content: Value) {
    content["via"] = json!(["example.org"]);
    let answer = client.set_state(space, "m.space.child", child, content);
    answer.await.ok();
}

async fn tree(client: &Client, room_id: &str, query: &str) -> Value {
    let path = hierarchy(room_id, query);
    client.get(&path).await.ok()
}

fn hierarchy(room_id: &str, query: &str) -> String {
    format!(
        "/_matrix/client/v1/rooms/{}/hierarchy?{query}",
        encode(room_id)
    )
}

#[track_caller]
fn rooms(page: &Value) -> Vec<String> {
    texts(&page["rooms"], "/room_id")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_is_walked_depth_first_in_order() {
    on_each_engine(async |stage| {
        let [anna, bert] = stage.users(["anna", "bert"]).await;
        let root = space(&anna, "public_chat").await;
        let inner = space(&anna, "public_chat").await;
        let public = json!({"preset": "public_chat"});
        let last = anna.create_room(public.clone()).await;
        let leaf = anna.create_room(public.clone()).await;
        let secret = anna.create_room(json!({"preset": "private_chat"})).await;
        put_into(&anna, &root, &last, json!({})).await;
        put_into(
            &anna,
            &root,
            &inner,
            json!({"order": "b", "suggested": true}),
        )
        .await;
        put_into(&anna, &root, &secret, json!({"order": "a"})).await;
        put_into(
            &anna,
            &root,
            "!elsewhere:remote.invalid",
            json!({"order": "a"}),
        )
        .await;
        put_into(&anna, &inner, &leaf, json!({})).await;
        // A circle ends where it began.
        put_into(&anna, &inner, &root, json!({})).await;
        let gone = anna.create_room(public).await;
        anna.set_state(&root, "m.space.child", &gone, json!({}))
            .await
            .ok();

        let whole = [root.clone(), inner.clone(), leaf.clone(), last.clone()];
        let page = tree(&bert, &root, "").await;
        assert_eq!(rooms(&page), whole, "{page}");
        assert!(page.get("next_batch").is_none());
        let children = list(&page["rooms"][0]["children_state"]);
        let keys: Vec<_> = children
            .iter()
            .map(|event| event["state_key"].clone())
            .collect();
        assert_eq!(keys.len(), 4, "{keys:?}");
        assert!(
            children
                .iter()
                .all(|event| event["origin_server_ts"].is_u64())
        );
        assert_eq!(page["rooms"][1]["room_type"], "m.space");
        assert_eq!(page["rooms"][2]["children_state"], json!([]));
        assert_eq!(rooms(&tree(&anna, &root, "").await)[1], secret);
        let flat = [root.clone(), inner.clone(), last.clone()];
        assert_eq!(rooms(&tree(&bert, &root, "max_depth=1").await), flat);
        assert_eq!(rooms(&tree(&bert, &root, "max_depth=0").await), flat[..1]);
        let suggested = tree(&bert, &root, "suggested_only=true").await;
        assert_eq!(rooms(&suggested), [root.clone(), inner.clone()]);

        let first = tree(&bert, &root, "limit=2").await;
        assert_eq!(rooms(&first), whole[..2]);
        let token = encode(first["next_batch"].as_str().expect("a token"));
        let second = tree(&bert, &root, &format!("limit=2&from={token}")).await;
        assert_eq!(rooms(&second), whole[2..]);
        assert!(second.get("next_batch").is_none());
        for query in [
            format!("max_depth=1&from={token}"),
            "from=nonsense".to_owned(),
        ] {
            let answer = bert.get(&hierarchy(&root, &query)).await;
            answer.refused(400, "M_INVALID_PARAM");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_shows_what_its_reader_may_see() {
    on_each_engine(async |stage| {
        let [anna, bert] = stage.users(["anna", "bert"]).await;
        let root = space(&anna, "private_chat").await;
        let denied = bert.get(&hierarchy(&root, "")).await;
        denied.refused(403, "M_FORBIDDEN");
        let unknown = bert.get(&hierarchy("!none:example.org", "")).await;
        unknown.refused(403, "M_FORBIDDEN");
        let rules = |rule: &str| {
            let allow = json!([{"type": "m.room_membership", "room_id": root}]);
            json!({"initial_state": [{
                "type": "m.room.join_rules", "state_key": "", "content": {"join_rule": rule, "allow": allow}
            }]})
        };
        let readable = json!({"initial_state": [{
            "type": "m.room.history_visibility", "state_key": "", "content": {"history_visibility": "world_readable"}
        }]});
        let mut wanted = vec![root.clone()];
        for body in [rules("restricted"), rules("knock"), rules("knock_restricted"), readable] {
            let child = anna.create_room(body).await;
            put_into(&anna, &root, &child, json!({"order": format!("{}", wanted.len())})).await;
            wanted.push(child);
        }
        anna.invite(&root, &bert).await;
        // Invited, but not joined: not yet a member for the restricted room.
        let mut seen = wanted.clone();
        let restricted = seen.remove(1);
        assert_eq!(rooms(&tree(&bert, &root, "").await), seen);
        bert.join(&root).await;
        let page = tree(&bert, &root, "").await;
        assert_eq!(rooms(&page), wanted);
        assert_eq!(page["rooms"][1]["join_rule"], "restricted");
        assert_eq!(page["rooms"][1]["allowed_room_ids"], json!([root]));
        assert_eq!(page["rooms"][4]["world_readable"], true);
        let path = format!("/_matrix/client/v1/room_summary/{}", encode(&restricted));
        assert_eq!(bert.get(&path).await.ok()["membership"], "leave");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_summary_is_for_those_who_could_come_in() {
    on_each_engine(async |stage| {
        let [anna, bert] = stage.users(["anna", "bert"]).await;
        let alias = super::stage::fresh("summary");
        let body = json!({"preset": "public_chat", "name": "Open", "room_alias_name": alias});
        let open = anna.create_room(body).await;
        let closed = anna.create_room(json!({"preset": "private_chat"})).await;
        let server = anna.user_id.split_once(':').expect("a server name").1;
        let alias = format!("#{alias}:{server}");
        for path in [
            format!("/_matrix/client/v1/room_summary/{}", encode(&alias)),
            format!("/_matrix/client/v1/room_summary/{}", encode(&open)),
            format!(
                "/_matrix/client/unstable/im.nheko.summary/rooms/{}/summary",
                encode(&open)
            ),
            format!(
                "/_matrix/client/unstable/im.nheko.summary/summary/{}",
                encode(&open)
            ),
        ] {
            let summary = bert.nobody().get(&path).await.ok();
            assert_eq!(summary["room_id"], open, "{summary}");
            assert_eq!(summary["name"], "Open");
            assert_eq!(summary["canonical_alias"], alias);
            assert_eq!(summary["num_joined_members"], 1);
            assert!(summary["room_version"].is_string());
            assert!(summary.get("membership").is_none());
            assert_eq!(anna.get(&path).await.ok()["membership"], "join");
        }
        let path = format!("/_matrix/client/v1/room_summary/{}", encode(&closed));
        bert.get(&path).await.refused(404, "M_NOT_FOUND");
        bert.nobody().get(&path).await.refused(404, "M_NOT_FOUND");
        anna.invite(&closed, &bert).await;
        let summary = bert.get(&path).await.ok();
        assert_eq!(summary["membership"], "invite");
        assert_eq!(summary["join_rule"], "invite");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_found_by_time() {
    on_each_engine(async |stage| {
        let [anna, bert] = stage.users(["anna", "bert"]).await;
        let room_id = anna.create_room(json!({"preset": "private_chat"})).await;
        let at = |ts: u64, dir: &str| {
            let room = encode(&room_id);
            format!("/_matrix/client/v1/rooms/{room}/timestamp_to_event?ts={ts}&dir={dir}")
        };
        let mut said = Vec::new();
        for text in ["one", "two", "three"] {
            let event_id = anna.say(&room_id, text).await;
            let path = room_path(&room_id, &format!("event/{}", encode(&event_id)));
            let event = anna.get(&path).await.ok();
            let ts = event["origin_server_ts"].as_u64().expect("a time");
            said.push((event_id, ts));
            tokio::time::sleep(std::time::Duration::from_millis(3)).await;
        }
        for (event_id, ts) in &said {
            for dir in ["f", "b"] {
                let found = anna.get(&at(*ts, dir)).await.ok();
                assert_eq!(found, json!({"event_id": event_id, "origin_server_ts": ts}));
            }
        }
        let (_, first) = &said[0];
        assert_eq!(
            anna.get(&at(first + 1, "f")).await.ok()["event_id"],
            said[1].0
        );
        let (_, second) = &said[1];
        assert_eq!(
            anna.get(&at(second - 1, "b")).await.ok()["event_id"],
            said[0].0
        );
        anna.get(&at(0, "b")).await.refused(404, "M_NOT_FOUND");
        anna.get(&at(said[2].1 + 1, "f"))
            .await
            .refused(404, "M_NOT_FOUND");
        bert.get(&at(0, "f")).await.refused(403, "M_FORBIDDEN");
        let begin = anna.get(&at(0, "f")).await.ok();
        assert_ne!(begin["event_id"], said[0].0);
    })
    .await;
}

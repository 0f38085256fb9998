//! Spaces and rooms of another server, as users here see them before joining.

use serde_json::{Value, json};

use super::neighbours::Neighbours;
use crate::{
    client::props::{text, texts},
    harness::{Client, client::encode},
};

async fn put_into(client: &Client, space: &str, child: &str, order: &str) {
    let content = json!({"via": ["one.town"], "order": order});
    let answer = client.set_state(space, "m.space.child", child, content);
    answer.await.ok();
}

async fn tree(client: &Client, space: &str, query: &str) -> Value {
    let path = format!(
        "/_matrix/client/v1/rooms/{}/hierarchy?{query}",
        encode(space)
    );
    client.get(&path).await.ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_space_elsewhere_is_walked_and_a_room_there_summed_up() {
    let all = Neighbours::new().await;
    let (anna, bert) = (&all.anna, &all.bert);
    let space = json!({"preset": "public_chat", "creation_content": {"type": "m.space"}});
    let public = json!({"preset": "public_chat", "name": "Square", "room_alias_name": "square"});
    let root = anna.create_room(space.clone()).await;
    let inner = anna.create_room(space).await;
    let square = anna.create_room(public).await;
    let leaf = anna.create_room(json!({"preset": "public_chat"})).await;
    let secret = anna.create_room(json!({"preset": "private_chat"})).await;
    put_into(anna, &root, &inner, "a").await;
    put_into(anna, &root, &secret, "b").await;
    put_into(anna, &root, &square, "c").await;
    put_into(anna, &inner, &leaf, "a").await;

    // Nobody of his server is in any of them, and the IDs of these rooms name no server: he knows one by its alias, and comes into the space.
    let summary = "/_matrix/client/v1/room_summary/";
    let by_alias = format!("{summary}{}", encode("#square:one.town"));
    let seen = bert.get(&by_alias).await.ok();
    assert_eq!(seen["room_id"], square);
    assert_eq!(seen["name"], "Square");
    assert_eq!(seen["membership"], "leave");
    let by_id = format!("{summary}{}?via=one.town", encode(&secret));
    bert.get(&by_id).await.refused(404, "M_NOT_FOUND");

    // Nor does the ID of the space tell whom to ask.
    let path = format!("/_matrix/client/v1/rooms/{}/hierarchy", encode(&root));
    bert.get(&path).await.refused(403, "M_FORBIDDEN");
    let malformed = format!("{path}?via=%20");
    bert.get(&malformed).await.refused(400, "M_INVALID_PARAM");
    for name in ["via", "org.matrix.msc4235.via"] {
        let page = tree(bert, &root, &format!("{name}=one.town&max_depth=0")).await;
        assert_eq!(texts(&page["rooms"], "/room_id"), [&*root]);
    }

    let join = format!("/_matrix/client/v3/join/{}?via=one.town", encode(&root));
    bert.post(&join, json!({})).await.ok();
    let page = tree(bert, &root, "").await;
    assert_eq!(
        texts(&page["rooms"], "/room_id"),
        [&*root, &inner, &leaf, &square]
    );
    assert_eq!(page["rooms"][1]["children_state"][0]["state_key"], leaf);
    // Page by page, it is the same.
    let mut found = Vec::new();
    let mut query = "limit=1".to_owned();
    loop {
        let page = tree(bert, &root, &query).await;
        found.extend(texts(&page["rooms"], "/room_id"));
        if page["next_batch"].is_null() {
            break;
        }
        query = format!("limit=1&from={}", encode(&text(&page["next_batch"])));
    }
    assert_eq!(found, [&*root, &inner, &leaf, &square]);
}

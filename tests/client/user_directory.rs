//! Finding users, and the rooms shared with them.

use serde_json::{Value, json};

use super::{
    props::texts,
    stage::{fresh, on_each_engine},
};
use crate::harness::{Client, client::encode};

async fn find(client: &Client, term: &str) -> Value {
    let path = "/_matrix/client/v3/user_directory/search";
    let body = json!({"search_term": term, "limit": 3});
    client.post(path, body).await.ok()
}

#[track_caller]
fn users(found: &Value) -> Vec<String> {
    texts(&found["results"], "/user_id")
}

async fn name(client: &Client, displayname: &str) {
    let path = format!(
        "/_matrix/client/v3/profile/{}/displayname",
        encode(&client.user_id)
    );
    client
        .put(&path, json!({"displayname": displayname}))
        .await
        .ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn users_find_those_whom_they_may_know() {
    on_each_engine(async |stage| {
        let [anna, bert, carl] = stage.users(["anna", "bert", "carl"]).await;
        let word = fresh("Zoë");
        name(&bert, &format!("{word} 山田太郎")).await;
        let term = word.replace('ë', "E");
        assert!(users(&find(&anna, &term).await).is_empty());
        // Sharing a room is enough, and only while it lasts; an invite is not.
        let room_id = anna.create_room(json!({"preset": "private_chat"})).await;
        anna.invite(&room_id, &bert).await;
        assert!(users(&find(&anna, &term).await).is_empty());
        bert.join(&room_id).await;
        let found = find(&anna, &term).await;
        assert_eq!(users(&found), [bert.user_id.as_str()]);
        assert_eq!(found["limited"], false);
        assert_eq!(
            found["results"][0]["display_name"],
            format!("{word} 山田太郎")
        );
        for term in [
            format!("太郎 {term}"),
            bert.user_id.clone(),
            bert.user_id.split_once(':').expect("a colon").0.to_owned(),
        ] {
            assert_eq!(
                users(&find(&anna, &term).await),
                [bert.user_id.as_str()],
                "{term}"
            );
        }
        for term in [
            format!("{term} 花子"),
            format!("{term}%"),
            String::new(),
            " ".to_owned(),
        ] {
            assert!(users(&find(&anna, &term).await).is_empty(), "{term}");
        }
        assert!(users(&find(&carl, &term).await).is_empty());
        assert!(users(&find(&bert, &term).await).is_empty());
        // In a public room everybody finds them.
        let public = bert.create_room(json!({"preset": "public_chat"})).await;
        assert_eq!(users(&find(&carl, &term).await), [bert.user_id.as_str()]);
        bert.leave(&public).await;
        bert.leave(&room_id).await;
        for client in [&anna, &carl] {
            assert!(users(&find(client, &term).await).is_empty());
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_nearest_come_first_and_not_too_many() {
    on_each_engine(async |stage| {
        let word = fresh("near");
        let mut clients = Vec::new();
        for (number, displayname) in [
            format!("un{word}"),
            format!("The {word}est"),
            format!("{word}by"),
            word.clone(),
        ]
        .iter()
        .enumerate()
        {
            let client = stage.user(&format!("u{number}x")).await;
            client.create_room(json!({"preset": "public_chat"})).await;
            name(&client, displayname).await;
            clients.push(client.user_id);
        }
        let anna = stage.user("anna").await;
        let found = find(&anna, &word).await;
        clients.reverse();
        assert_eq!(users(&found), clients[..3]);
        assert_eq!(found["limited"], true);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shared_rooms_are_listed() {
    on_each_engine(async |stage| {
        let [anna, bert] = stage.users(["anna", "bert"]).await;
        let mut wanted = Vec::new();
        for _ in 0..2 {
            let room_id = anna.create_room(json!({"preset": "public_chat"})).await;
            bert.join(&room_id).await;
            wanted.push(room_id);
        }
        wanted.sort();
        anna.create_room(json!({})).await;
        let left = anna.create_room(json!({"preset": "public_chat"})).await;
        bert.join(&left).await;
        bert.leave(&left).await;
        let user = encode(&bert.user_id);
        let stable = format!("/_matrix/client/v1/mutual_rooms?user_id={user}");
        let answer = anna.get(&stable).await.ok();
        assert_eq!(answer, json!({"count": 2, "joined": wanted}));
        let unstable = format!(
            "/_matrix/client/unstable/uk.half-shot.msc2666/user/mutual_rooms?user_id={user}"
        );
        assert_eq!(anna.get(&unstable).await.ok(), json!({"joined": wanted}));
        let rest = format!("{stable}&from={}", encode(&wanted[0]));
        assert_eq!(anna.get(&rest).await.ok()["joined"], json!(wanted[1..]));
        bert.get(&stable).await.refused(400, "M_INVALID_PARAM");
        anna.get(&format!("{stable}&from=x"))
            .await
            .refused(400, "M_INVALID_PARAM");
        let unknown = "/_matrix/client/v1/mutual_rooms?user_id=%40nobody:elsewhere.invalid";
        assert_eq!(
            anna.get(unknown).await.ok(),
            json!({"count": 0, "joined": []})
        );
    })
    .await;
}

//! What operators see of several nodes, and tell them.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{
    nodes::{healthy, settled, status, until},
    shared::{CLUSTER, Shared, held_by},
};
use crate::{
    admin::administrator,
    harness::{Client, TestServer, client::encode},
};

const LONG: Duration = Duration::from_secs(240);

/// What holds shards and does nothing else.
const HOLDS: &str = "rooms,users,servers";

/// All else.
const DOES: &str = "edge,media,push,appservice,directory,background";

fn node<'a>(status: &'a Value, name: &str) -> &'a Value {
    let nodes = status["nodes"].as_array().expect("nodes");
    let mut nodes = nodes.iter();
    nodes.find(|node| node["name"] == name).expect("the node")
}

/// The nodes that fold or follow by a name.
fn readers<'a>(status: &'a Value, name: &str) -> Vec<&'a str> {
    let readers = status["readers"].as_array().expect("readers");
    let readers = readers.iter().filter(|reader| reader["name"] == name);
    readers
        .map(|reader| reader["node"].as_str().expect("a node"))
        .collect()
}

/// Shards that are on a node, by their names.
fn shards_of(status: &Value, node: &str) -> Vec<String> {
    let shards = status["shards"].as_array().expect("shards");
    let shards = shards.iter().filter(|shard| shard["holder"] == node);
    shards
        .map(|shard| {
            format!(
                "{}/{}",
                shard["family"].as_str().unwrap_or(""),
                shard["number"]
            )
        })
        .collect()
}

/// Waits until somebody finds the boss in the directory of users.
async fn finds(client: &Client, boss: &str) {
    let deadline = Instant::now() + LONG;
    loop {
        let search = json!({"search_term": "boss"});
        let path = "/_matrix/client/v3/user_directory/search";
        let found = client.post(path, search).await.ok();
        if found["results"][0]["user_id"] == boss {
            return;
        }
        assert!(Instant::now() < deadline, "{found}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Talks in a room until it is shown as a hot one: how hot it is counts for half a minute only.
async fn heated(server: &TestServer, (client, room_id): (&Client, &str)) -> Value {
    let is_hot = |status: &Value| {
        let hot = status["hot_rooms"].as_array().expect("hot rooms");
        hot.iter().any(|room| {
            room["room_id"] == room_id && room["rate"].as_f64().is_some_and(|rate| rate > 0.5)
        })
    };
    let deadline = Instant::now() + LONG;
    loop {
        for number in 0..30 {
            client.say(room_id, &format!("{number}")).await;
        }
        let seen = status(server);
        if is_hot(&seen) {
            return seen;
        }
        assert!(
            Instant::now() < deadline,
            "nobody tells of the room: {seen}"
        );
    }
}

async fn run(server: &TestServer, arguments: &[&str]) {
    let (is_fine, text) = server.command_line(arguments);
    assert!(is_fine, "{text}");
}

#[tokio::test]
async fn what_nodes_do_is_shown() {
    let shared = Shared::steady();
    let (one, two) = (shared.start("n1", false), shared.start("n2", false));
    settled(&one, &["n1", "n2"]).await;
    let boss = administrator(&one.client(), "boss").await;
    let room_id = boss.create_room(json!({})).await;
    let seen = heated(&one, (&boss, &room_id)).await;
    for name in ["n1", "n2"] {
        let queues = &node(&seen, name)["queues"];
        assert!(
            queues["rooms"].is_array() && queues["users"].is_array(),
            "{seen}"
        );
    }
    assert_eq!(seen["missing_roles"], json!([]));
    // What one node at a time does is done, and has come to the end.
    let done = until(&one, "nobody folds", |status| {
        let told = status["readers"].as_array().expect("readers");
        let at_end = told.iter().all(|reader| reader["behind"] == 0);
        let folds_once = readers(status, "user_names").len() == 1;
        at_end && folds_once && status["moves"] == json!([])
    })
    .await;
    assert_eq!(done["missing_roles"], json!([]), "{done}");
    // Administrators see the same, on any node.
    let there = boss.at(two.base()).get(CLUSTER).await.ok();
    for key in ["moves", "readers", "hot_rooms", "missing_roles"] {
        assert!(there[key].is_array(), "{there}");
    }
    // It may have cooled down meanwhile.
    let deadline = Instant::now() + LONG;
    loop {
        heated(&one, (&boss, &room_id)).await;
        let (is_fine, text) = one.command_line(&["cluster", "status"]);
        assert!(is_fine, "{text}");
        if text.contains("hottest rooms") && text.contains(&room_id) {
            break;
        }
        assert!(Instant::now() < deadline, "{text}");
    }
}

#[tokio::test]
async fn a_hot_room_gets_a_node_to_itself() {
    let shared = Shared::steady();
    let (one, mut two) = (shared.start("n1", false), shared.start("n2", false));
    settled(&one, &["n1", "n2"]).await;
    let boss = administrator(&one.client(), "boss").await;
    let room_id = boss.create_room(json!({})).await;
    run(&one, &["cluster", "pin", &room_id, "n2", "--alone"]).await;
    let is_alone =
        |status: &Value| shards_of(status, "n2").len() == 1 && held_by(status, None) == 0;
    let alone = until(&one, "the others do not leave", is_alone).await;
    let shards = shards_of(&alone, "n2");
    assert!(shards[0].starts_with("rooms/"), "{shards:?}");
    boss.say(&room_id, "alone").await;
    // It comes back to the same.
    two.stop();
    settled(&one, &["n1"]).await;
    boss.say(&room_id, "elsewhere").await;
    two.start_again();
    let again = until(&one, "it does not come back", is_alone).await;
    assert_eq!(shards_of(&again, "n2"), shards);
    boss.say(&room_id, "alone again").await;
    run(&one, &["cluster", "unpin", &room_id]).await;
    until(&one, "the others do not come back", |status| {
        shards_of(status, "n2").len() > 3 && shards_of(status, "n1").len() > 3
    })
    .await;
    // The same over HTTP.
    let pin = format!("{CLUSTER}/rooms/{}/pin", encode(&room_id));
    let pinned = boss.put(&pin, json!({"node": "n1", "alone": true})).await;
    assert_eq!(pinned.ok()["shard"], shards[0].as_str());
    until(&one, "the others do not leave", |status| {
        shards_of(status, "n1") == shards && held_by(status, None) == 0
    })
    .await;
    boss.delete(&pin).await.ok();
    settled(&one, &["n1", "n2"]).await;
}

#[tokio::test]
async fn nodes_do_what_they_are_for() {
    let shared = Shared::steady();
    let one = shared.start_for(("n1", HOLDS), false);
    let mut two = shared.start_for(("n2", DOES), false);
    settled(&one, &["n1"]).await;
    // Whoever asks the one that has no edge is told to ask another.
    healthy(&one, 200).await;
    let versions = one.client().get("/_matrix/client/versions").await;
    versions.refused(503, "M_UNKNOWN");
    let key = one.client().get("/_matrix/key/v2/server").await;
    key.refused(503, "M_UNKNOWN");
    let boss = administrator(&two.client(), "boss").await;
    let name = json!({"displayname": "Boss of all"});
    let path = format!(
        "/_matrix/client/v3/profile/{}/displayname",
        encode(&boss.user_id)
    );
    boss.put(&path, name).await.ok();
    let room_id = boss
        .create_room(json!({"visibility": "public", "preset": "public_chat"}))
        .await;
    let alice = two.register("alice").await;
    alice.join(&room_id).await;
    finds(&alice, &boss.user_id).await;
    // Nobody else has ever folded: the other node is not for it.
    let done = until(&one, "somebody lags, or does not fold", |status| {
        let told = status["readers"].as_array().expect("readers");
        let folds = ["user_names", "public_rooms", "memberships"];
        let is_folded = folds.iter().all(|fold| readers(status, fold) == ["n2"]);
        is_folded && told.iter().all(|reader| reader["behind"] == 0)
    })
    .await;
    assert_eq!(done["missing_roles"], json!([]));
    two.kill();
    until(&one, "nobody says what is missing", |status| {
        let missing = status["missing_roles"].as_array().expect("roles");
        missing.contains(&json!("edge")) && missing.contains(&json!("directory"))
    })
    .await;
    let three = shared.start_for(("n3", DOES), false);
    let bob = three.register("bob").await;
    bob.join(&room_id).await;
    finds(&bob, &boss.user_id).await;
    let done = until(&one, "nobody folds", |status| {
        readers(status, "user_names") == ["n3"]
    })
    .await;
    assert_eq!(done["missing_roles"], json!([]));
}

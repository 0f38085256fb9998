//! What one node at a time does, where the nodes that hold shards are not for it.

use super::*;

/// The models and followers that are looked at.
const WATCHED: [&str; 4] = ["user_names", "memberships", "profiles", "upkeep"];

/// What a node is for that only holds shards, and one that does all else.
const HOLDS: [&str; 3] = ["rooms", "users", "servers"];
const DOES: [&str; 3] = ["edge", "directory", "background"];

/// Who reads by a name on a node.
fn reads(node: &Node, name: &str) -> bool {
    node.house.tail().lags().contains_key(name)
}

/// Waits until each is done by one of the nodes.
async fn all_done_by(nodes: &[&Node]) {
    for name in WATCHED {
        until(name, || {
            let doing = nodes.iter().filter(|node| reads(node, name));
            doing.count() == 1
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_dead_node_did_falls_to_another_that_is_for_it() {
    let town = Town::new().await;
    let holder = town.node_for("n0", &HOLDS).await;
    let (one, two) = (
        town.node_for("n1", &DOES).await,
        town.node_for("n2", &DOES).await,
    );
    town.settled(&[&holder]).await;
    all_done_by(&[&one, &two]).await;
    assert!(WATCHED.iter().all(|name| !reads(&holder, name)));
    let alice = Client::register(&one.house, "alice").await;
    let room_id = make_room(&one.house, &alice.user_id).await;
    one.kill().await;
    all_done_by(&[&two]).await;
    assert!(WATCHED.iter().all(|name| !reads(&holder, name)));
    // It goes on from where the other was.
    let bob = Client::register(&two.house, "bob").await;
    join(&two.house, &bob.user_id, &room_id).await;
    say(&two.house, &bob.user_id, &room_id, "still here")
        .await
        .unwrap();
    let found = async {
        loop {
            // A read model that is behind for long says so.
            let found = two.house.find_users(&alice.user_id, "bob", 10).await;
            let users = found.map(|(users, _)| users).unwrap_or_default();
            let mut users = users.iter();
            if users.any(|user| user.user_id == bob.user_id.as_str()) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let found = tokio::time::timeout(Duration::from_secs(120), found).await;
    assert!(found.is_ok(), "nobody goes on");
}

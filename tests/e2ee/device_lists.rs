//! Whose device lists a client must look at again: in `/sync` and in `/keys/changes`.

use std::time::Duration;

use serde_json::{Value, json};

use super::crypto::publish;
use crate::harness::{Client, TestServer, client::encode};

fn next_batch(answer: &Value) -> String {
    answer["next_batch"].as_str().expect("a token").to_owned()
}

fn users(list: &Value, name: &str) -> Vec<String> {
    let users = list[name].as_array().into_iter().flatten();
    users
        .filter_map(|user| user.as_str().map(ToOwned::to_owned))
        .collect()
}

/// A token after which nothing is told of what happened before: what others did is announced in the order of commits, so it is out when one's own
/// newest change is. An earlier one of one's own may be told first, so the newest is the one after which nothing of one's own comes.
pub(super) async fn settled(client: &Client) -> String {
    let mut since = next_batch(&client.sync(None, "").await);
    publish(client).await;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(120);
    let mut is_told = false;
    loop {
        let answer = client.sync(Some(&since), "timeout=1000").await;
        since = next_batch(&answer);
        let has_own = users(&answer["device_lists"], "changed").contains(&client.user_id);
        if is_told && !has_own {
            return since;
        }
        is_told |= has_own;
        assert!(tokio::time::Instant::now() < deadline, "own keys are told");
    }
}

async fn membership(client: &Client, room_id: &str, action: &str, of: Option<&Client>) {
    let path = format!("/_matrix/client/v3/rooms/{}/{action}", encode(room_id));
    let body = of.map_or(json!({}), |of| json!({ "user_id": of.user_id }));
    client.post(&path, body).await.ok();
}

/// Syncs (with a filter, if any) until the lists are as expected, and asks `/keys/changes` about the same interval.
async fn expect(
    client: &Client,
    since: &str,
    filter: &str,
    expected: (&[&Client], &[&Client]),
) -> String {
    let names = |clients: &[&Client]| -> Vec<String> {
        let mut names: Vec<_> = clients
            .iter()
            .map(|client| client.user_id.clone())
            .collect();
        names.sort();
        names
    };
    let expected = (names(expected.0), names(expected.1));
    let deadline = tokio::time::Instant::now() + Duration::from_secs(120);
    loop {
        let answer = client.sync(Some(since), filter).await;
        let list = &answer["device_lists"];
        let told = (users(list, "changed"), users(list, "left"));
        let next = next_batch(&answer);
        if told == expected {
            let path = format!(
                "/_matrix/client/v3/keys/changes?from={}&to={}",
                encode(since),
                encode(&next)
            );
            let changes = client.get(&path).await.ok();
            let told = (users(&changes, "changed"), users(&changes, "left"));
            assert_eq!(told, expected, "/keys/changes tells the same");
            return next;
        }
        assert!(
            tokio::time::Instant::now() < deadline,
            "expected {expected:?}, got {told:?}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn joins_leaves_and_keys_are_told_once() {
    let mut server = TestServer::start().await;
    let (alice, bob, carol) = (
        server.register("alice").await,
        server.register("bob").await,
        server.register("carol").await,
    );
    let room_id = alice.create_room(json!({ "preset": "public_chat" })).await;
    let mut since = settled(&alice).await;
    bob.join(&room_id).await;
    since = expect(&alice, &since, "", (&[&bob], &[])).await;
    publish(&bob).await;
    since = expect(&alice, &since, "", (&[&bob], &[])).await;
    publish(&carol).await;
    since = expect(&alice, &since, "", (&[], &[])).await;
    // Away and back between two syncs, with other keys: there is no net change of members to see.
    membership(&bob, &room_id, "leave", None).await;
    publish(&bob).await;
    bob.join(&room_id).await;
    since = expect(&alice, &since, "", (&[&bob], &[])).await;
    // A timeline too long for the answer, with a join and a leave in it.
    carol.join(&room_id).await;
    membership(&bob, &room_id, "leave", None).await;
    for number in 0..30 {
        alice.say(&room_id, &number.to_string()).await;
    }
    since = expect(&alice, &since, "", (&[&carol], &[&bob])).await;
    // What a filter leaves out counts as well.
    let filter = encode(&json!({ "room": { "not_rooms": [room_id] } }).to_string());
    let filter = format!("filter={filter}");
    bob.join(&room_id).await;
    since = expect(&alice, &since, &filter, (&[&bob], &[])).await;
    // What happened while nobody here heard of Bob is read again after a restart, unless something newer was told.
    publish(&bob).await;
    since = expect(&alice, &since, &filter, (&[&bob], &[])).await;
    membership(&alice, &room_id, "kick", Some(&carol)).await;
    server.restart();
    let (alice, bob) = (alice.at(server.base()), bob.at(server.base()));
    since = expect(&alice, &since, &filter, (&[], &[&carol])).await;
    publish(&bob).await;
    server.restart();
    let (alice, bob) = (alice.at(server.base()), bob.at(server.base()));
    expect(&alice, &since, "", (&[&bob], &[])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_one_still_meets_elsewhere_has_not_left() {
    let server = TestServer::start().await;
    let (alice, bob, carol) = (
        server.register("alice").await,
        server.register("bob").await,
        server.register("carol").await,
    );
    let one = alice.create_room(json!({ "preset": "public_chat" })).await;
    let two = carol.create_room(json!({ "preset": "public_chat" })).await;
    for room_id in [&one, &two] {
        bob.join(room_id).await;
    }
    alice.join(&two).await;
    let mut since = settled(&alice).await;
    membership(&bob, &one, "leave", None).await;
    since = expect(&alice, &since, "", (&[], &[])).await;
    bob.join(&one).await;
    since = expect(&alice, &since, "", (&[&bob], &[])).await;
    // Alice herself goes: those whom she meets nowhere else are left, also when she is invited again at once.
    membership(&alice, &two, "leave", None).await;
    membership(&carol, &two, "invite", Some(&alice)).await;
    since = expect(&alice, &since, "", (&[], &[&carol])).await;
    alice.join(&two).await;
    expect(&alice, &since, "", (&[&bob, &carol], &[])).await;
    let path = |from: &str| format!("/_matrix/client/v3/keys/changes?from={}&to=x", encode(from));
    alice.get(&path("x")).await.refused(400, "M_INVALID_PARAM");
    alice
        .get("/_matrix/client/v3/keys/changes?from=x")
        .await
        .refused(400, "M_MISSING_PARAM");
}

//! Users whose nodes only hold shards are pushed to by nodes that are for it.

use futures_util::future::BoxFuture;
use playhouse_schema::{address::Entity, port::LogStore as _};

use super::*;
use crate::{
    cluster::roles,
    followers::task::numbered,
    house::PusherWish,
    kernel::Routes as _,
    pushers::{Digest, Postman, Push, PushSettings, PushTaken, PushTrouble},
};

/// What a node is for that only holds shards, and one that pushes.
const HOLDS: [&str; 3] = ["rooms", "users", "servers"];
const PUSHES: [&str; 4] = ["edge", "directory", "background", "push"];

/// Events that were pushed, each with the node that did it.
type Sent = Arc<Mutex<Vec<(&'static str, String)>>>;

/// Takes note of what a node pushes.
struct Notebook(&'static str, Sent);

impl Postman for Notebook {
    fn push(&self, push: Push) -> BoxFuture<'static, Result<PushTaken, PushTrouble>> {
        let body: Value = serde_json::from_slice(&push.body).unwrap();
        if let Some(event_id) = body["notification"]["event_id"].as_str() {
            self.1.lock().push((self.0, event_id.to_owned()));
        }
        Box::pin(async { Ok(PushTaken::default()) })
    }

    fn mail(&self, _digest: Digest) -> BoxFuture<'static, Result<(), PushTrouble>> {
        Box::pin(async { Ok(()) })
    }

    fn mails(&self) -> bool {
        false
    }
}

async fn node(town: &mut Town, name: &'static str, roles: &[&str], sent: &Sent) -> Node {
    let notebook = Notebook(name, sent.clone());
    town.pushes = Some(PushSettings::new(Arc::new(notebook)));
    town.node_for(name, roles).await
}

async fn set_pusher(house: &House, client: &Client) {
    let pusher = json!({
        "app_id": "app", "pushkey": client.user_id.as_str(), "kind": "http", "app_display_name": "App", "device_display_name": "Phone", "lang": "en",
        "data": {"url": "https://push.example.org/_matrix/push/v1/notify"}
    });
    let wish = PusherWish {
        app_id: "app".to_owned(),
        pushkey: client.user_id.to_string(),
        json: pusher.to_string(),
        append: false,
    };
    let device_id = Some(&*client.device_id);
    house
        .set_pusher(&client.user_id, device_id, wish)
        .await
        .unwrap();
}

/// Waits until an event was pushed; by which node.
async fn pusher_of(sent: &Sent, event_id: &OwnedEventId) -> &'static str {
    let of_event = || {
        let sent = sent.lock();
        let mut found = sent
            .iter()
            .filter(|(_, pushed)| pushed.as_str() == event_id.as_str());
        found.next().map(|(node, _)| *node)
    };
    until("it is pushed", || of_event().is_some()).await;
    of_event().unwrap()
}

/// Waits until a user knows that something was pushed: whoever pushes next asks the user.
async fn until_noted(house: &House, client: &Client) {
    let noted = async {
        loop {
            let book = house.pusher_book(&client.user_id).await.unwrap();
            let mut standings = book.pushers.iter().map(|named| &named.pusher.standing);
            if standings.any(|standing| !standing.pushed.is_empty()) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let noted = tokio::time::timeout(Duration::from_secs(120), noted).await;
    assert!(noted.is_ok(), "it is noted");
}

/// Waits until a node has pushed an event.
async fn until_pushed_by(node: &Node, sent: &Sent, event_id: &OwnedEventId) {
    until("the other goes on", || {
        let sent = sent.lock();
        sent.iter()
            .any(|(by, pushed)| *by == node.name.as_str() && *pushed == event_id.as_str())
    })
    .await;
}

/// Waits until one of two nodes pushes to a user, and both know which: for a moment both may think that they do.
async fn until_one_pushes(nodes: [&Node; 2], user_id: &OwnedUserId) {
    let layout = nodes[0].house.store().layout();
    let shard = layout.shard_of(&Entity::user(user_id.as_str()));
    let duty = (numbered("pushes", shard.number), roles::PUSH);
    until("one of them pushes", || {
        let know_all = nodes.iter().all(|node| {
            let view = node.house.ward().unwrap().view().borrow().clone();
            view.nodes.len() == 3
        });
        let falls = nodes.map(|node| node.house.map().unwrap().does(shard, duty));
        let begun = nodes.map(|node| {
            let pushes = node.house.pushes.as_ref().unwrap();
            pushes.board().has_begun(user_id)
        });
        know_all && falls[0] != falls[1] && falls == begun
    })
    .await;
}

/// A node that only holds shards, and two that push, one of which has pushed an event to somebody.
struct Stage {
    _holder: Node,
    /// The one that has pushed.
    pusher: Node,
    /// The other one that may.
    other: Node,
    sent: Sent,
    alice: Client,
    bob: Client,
    room_id: OwnedRoomId,
    /// What was pushed to Alice.
    first: OwnedEventId,
    town: Town,
}

impl Stage {
    async fn new() -> Self {
        let mut town = Town::new().await;
        let sent = Sent::default();
        let holder = node(&mut town, "n0", &HOLDS, &sent).await;
        let one = node(&mut town, "n1", &PUSHES, &sent).await;
        let two = node(&mut town, "n2", &PUSHES, &sent).await;
        town.settled(&[&holder]).await;
        let alice = Client::register(&one.house, "alice").await;
        let bob = Client::register(&two.house, "bob").await;
        let room_id = make_room(&one.house, &alice.user_id).await;
        join(&one.house, &bob.user_id, &room_id).await;
        until_one_pushes([&one, &two], &alice.user_id).await;
        // Nothing lies between: what happens at once is not missed.
        set_pusher(&one.house, &alice).await;
        let first = say(&one.house, &bob.user_id, &room_id, "first").await;
        let first = first.unwrap();
        let by = pusher_of(&sent, &first).await;
        assert_ne!(by, "n0");
        until_noted(&one.house, &alice).await;
        let (pusher, other) = if by == "n1" { (one, two) } else { (two, one) };
        Self {
            _holder: holder,
            pusher,
            other,
            sent,
            alice,
            bob,
            room_id,
            first,
            town,
        }
    }

    /// The one that has pushed dies, and the other one goes on.
    async fn other_goes_on(self) {
        self.pusher.kill().await;
        let second = say(
            &self.other.house,
            &self.bob.user_id,
            &self.room_id,
            "second",
        );
        let second = second.await.unwrap();
        until_pushed_by(&self.other, &self.sent, &second).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_are_pushed_to_by_nodes_that_are_for_it() {
    let stage = Stage::new().await;
    let (sent, first) = (stage.sent.clone(), stage.first.clone());
    stage.other_goes_on().await;
    let sent = sent.lock();
    let firsts = sent
        .iter()
        .filter(|(_, pushed)| pushed.as_str() == first.as_str());
    assert_eq!(firsts.count(), 1, "what was pushed is not pushed again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_that_cannot_be_read_keeps_nobody_from_pushing_to_others() {
    let stage = Stage::new().await;
    let layout = stage.town.store.layout();
    let users = [&stage.alice, &stage.bob].map(|client| Entity::user(client.user_id.as_str()));
    let [alices, bobs] = users.map(|entity| layout.shard_of(&entity).number);
    let room = Entity::room(stage.room_id.as_str());
    let used = [alices, bobs, layout.shard_of(&room).number];
    let silent = (0..layout.shards).find(|number| !used.contains(number));
    stage.town.store.silence(silent);
    stage.other_goes_on().await;
}

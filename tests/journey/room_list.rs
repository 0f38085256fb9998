//! The room list of matrix-sdk (Rust), which Element X shows: over simplified sliding sync it must agree with what happened, in order and in counts.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use serde_json::{Value, json};
use tokio::sync::watch;

use super::{
    story::{on_fixed_port, tools},
    sync_model::Dice,
};
use crate::harness::{Client, TestServer, client::encode};

const ROOMS: usize = 200;
const STEPS: usize = 200;

/// The list follows within this time, whatever else runs on the machine.
const FOLLOWS_WITHIN: Duration = Duration::from_secs(180);

/// A room as a list should show it.
struct Shown {
    room_id: String,
    notifications: u64,
    highlights: u64,
    last: String,
}

/// The running client: what it shows.
struct RoomList {
    program: Child,
    shows: watch::Receiver<Value>,
}

impl RoomList {
    fn start(server: &TestServer, user: &Client) -> Self {
        let mut program = Command::new(tools().join("sdk/debug/room-list"))
            .args([server.base(), &user.user_id, "correct horse"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the client runs: `ops/ci/test` builds it");
        let output = BufReader::new(program.stdout.take().expect("standard output is piped"));
        let (sender, shows) = watch::channel(Value::Null);
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let shown = serde_json::from_str(&line).expect("the client prints JSON");
                sender.send_replace(shown);
            }
        });
        Self { program, shows }
    }

    /// Waits until it shows this.
    async fn agrees(&mut self, should: &[Shown]) {
        let rooms = should
            .iter()
            .map(|room| json!([room.room_id, room.notifications, room.highlights]));
        let wanted = Value::from_iter(rooms);
        let agreed = self.shows.wait_for(|shown| *shown == wanted);
        let agreed = tokio::time::timeout(FOLLOWS_WITHIN, agreed).await;
        let agreed = agreed.is_ok_and(|agreed| agreed.is_ok());
        let shown = self.shows.borrow().clone();
        assert!(agreed, "shown: {shown}, should be: {wanted}");
    }
}

impl Drop for RoomList {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

/// Alice writes in Bob's rooms, and Bob reads here and there.
struct Scene {
    alice: Client,
    bob: Client,
    /// Most recent first.
    rooms: Vec<Shown>,
}

impl Scene {
    async fn open(server: &TestServer) -> Self {
        let [alice, bob] = ["alice", "bob"].map(|name| server.register(name));
        let (alice, bob) = tokio::join!(alice, bob);
        let mut scene = Self {
            rooms: Vec::new(),
            alice,
            bob,
        };
        for number in 0..ROOMS {
            let wish = json!({"preset": "private_chat", "name": format!("room {number}"), "invite": [scene.bob.user_id]});
            let room_id = scene.alice.create_room(wish).await;
            scene.bob.join(&room_id).await;
            scene.rooms.push(Shown {
                room_id,
                notifications: 0,
                highlights: 0,
                last: String::new(),
            });
            scene.say(number, false).await;
        }
        scene
    }

    /// A message in a room, which becomes the first.
    async fn say(&mut self, at: usize, is_mention: bool) {
        let mut room = self.rooms.remove(at);
        let mentioned: Vec<_> = is_mention
            .then_some(&self.bob.user_id)
            .into_iter()
            .collect();
        let content =
            json!({"msgtype": "m.text", "body": "hello", "m.mentions": {"user_ids": mentioned}});
        room.last = self
            .alice
            .send(&room.room_id, "m.room.message", content)
            .await;
        room.notifications += 1;
        room.highlights += u64::from(is_mention);
        self.rooms.insert(0, room);
        // The client orders by the millisecond.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }

    /// Bob has read a room, on another device.
    async fn read(&mut self, at: usize) {
        let room = &mut self.rooms[at];
        let action = format!("receipt/m.read/{}", encode(&room.last));
        self.bob.act(&room.room_id, &action, json!({})).await.ok();
        (room.notifications, room.highlights) = (0, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn matrix_sdk_shows_every_room_in_order() {
    let mut server = on_fixed_port().await;
    let mut scene = Scene::open(&server).await;
    let mut list = RoomList::start(&server, &scene.bob);
    list.agrees(&scene.rooms).await;
    let mut dice = Dice(0x0001_2345_6789);
    for step in 1..=STEPS {
        let at = dice.roll(ROOMS);
        match dice.roll(8) {
            0..=4 => scene.say(at, false).await,
            5 => scene.say(at, true).await,
            _ => scene.read(at).await,
        }
        if step % 10 == 0 {
            list.agrees(&scene.rooms).await;
        }
        match step {
            65 => server.restart(),
            135 => {
                server.kill();
                server.start_again();
            }
            _ => {}
        }
    }
    // A client that comes anew sees the same.
    let mut other = RoomList::start(&server, &scene.bob);
    other.agrees(&scene.rooms).await;
}

//! A model of clients: several users do things at random while others lose answers and the server ends and starts again. Whatever a member may
//! see must come exactly once, on `/sync` and on sliding sync. `PLAYHOUSE_TEST_MODEL_OPERATIONS` says how many things are done.

mod reader;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use self::reader::{Reader, Way};
use crate::{
    client::stage::on_own_servers,
    harness::{Client, TestServer, client::encode, wish},
};

const USERS: usize = 4;
const ROOMS: usize = 5;

/// Enough for every kind of thing to happen, in under a minute.
const OPERATIONS_DEFAULT: usize = 500;

fn operations() -> usize {
    wish("PLAYHOUSE_TEST_MODEL_OPERATIONS").unwrap_or(OPERATIONS_DEFAULT)
}

/// Numbers that are the same in every run.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize % sides
    }
}

/// What must have come to one reader at the end.
#[derive(Default)]
pub(super) struct Truth {
    /// Events of rooms while the user was in them.
    pub(super) events: BTreeMap<String, Vec<String>>,
    /// Numbers of the messages sent to each device.
    pub(super) messages: Vec<u64>,
    /// By room and user, the newest receipt that was moved while the user was in the room.
    pub(super) receipts: BTreeMap<(String, String), String>,
    /// By room, the newest topic.
    pub(super) topics: BTreeMap<String, String>,
}

struct Person {
    client: Client,
    joined: BTreeSet<usize>,
    truth: Truth,
    readers: [Reader; 2],
}

struct World {
    dice: Dice,
    people: Vec<Person>,
    rooms: Vec<String>,
    /// Who made each room, and may kick.
    keepers: Vec<Client>,
    /// Messages that may be redacted or read, by room.
    said: Vec<Vec<String>>,
    messages: u64,
}

impl World {
    async fn begin(server: &TestServer) -> Self {
        let mut people = Vec::new();
        for number in 0..USERS {
            let client = server.register(&format!("user{number}")).await;
            let other = client.login_again().await;
            people.push(Person {
                readers: [
                    Reader::new(&client, Way::Plain),
                    Reader::new(&other, Way::Sliding),
                ],
                client,
                joined: BTreeSet::new(),
                truth: Truth::default(),
            });
        }
        let (mut rooms, mut keepers) = (Vec::new(), Vec::new());
        for number in 0..ROOMS {
            // One who keeps the room does not take part.
            let keeper = server.register(&format!("keeper{number}")).await;
            let wish = json!({"preset": "public_chat", "power_level_content_override": {"state_default": 0, "redact": 0}});
            rooms.push(keeper.create_room(wish).await);
            keepers.push(keeper);
        }
        Self {
            dice: Dice(0x005e_ed0f_5eed),
            people,
            said: vec![Vec::new(); rooms.len()],
            rooms,
            keepers,
            messages: 0,
        }
    }

    /// An event was made: whoever is in the room shall get it.
    fn happened(&mut self, room: usize, event_id: &str) {
        for person in &mut self.people {
            if person.joined.contains(&room) {
                let events = person.truth.events.entry(self.rooms[room].clone());
                events.or_default().push(event_id.to_owned());
            }
        }
    }

    async fn act(&mut self) {
        let (who, room) = (self.dice.roll(USERS), self.dice.roll(ROOMS));
        let kind = self.dice.roll(20);
        if !self.people[who].joined.contains(&room) {
            // Newcomers come now and then, so that rooms are neither full nor empty.
            if kind < 8 {
                self.join(who, room).await;
            }
            return;
        }
        let client = self.people[who].client.clone();
        let room_id = self.rooms[room].clone();
        match kind {
            0..=10 => {
                let event_id = client.say(&room_id, "said").await;
                self.happened(room, &event_id);
                self.said[room].push(event_id);
            }
            11 => {
                let content = json!({"topic": self.dice.roll(1_000_000).to_string()});
                let answer = client
                    .set_state(&room_id, "m.room.topic", "", content)
                    .await;
                let answer = answer.ok();
                let event_id = answer["event_id"].as_str().expect("an event ID");
                self.happened(room, event_id);
                for person in &mut self.people {
                    if person.joined.contains(&room) {
                        let topics = &mut person.truth.topics;
                        topics.insert(room_id.clone(), event_id.to_owned());
                    }
                }
            }
            12 => {
                let count = self.said[room].len();
                if count > 0 {
                    let event_id = self.said[room][self.dice.roll(count)].clone();
                    let redaction = client.redact(&room_id, &event_id).await;
                    self.happened(room, &redaction);
                }
            }
            13..=14 => self.read(who, room).await,
            15..=16 => self.write_to_device(who).await,
            17..=18 => self.leave(who, room).await,
            _ => self.kick(room).await,
        }
    }

    async fn join(&mut self, who: usize, room: usize) {
        let room_id = self.rooms[room].clone();
        self.people[who].client.join(&room_id).await;
        self.people[who].joined.insert(room);
        self.people[who].truth.topics.remove(&room_id);
        let event_id = self.member_event(who, &room_id).await;
        self.happened(room, &event_id);
    }

    async fn member_event(&self, who: usize, room_id: &str) -> String {
        let client = &self.people[who].client;
        let path = format!(
            "state/m.room.member/{}?format=event",
            encode(&client.user_id)
        );
        let event = client.look(room_id, &path).await.ok();
        event["event_id"].as_str().expect("an event ID").to_owned()
    }

    async fn leave(&mut self, who: usize, room: usize) {
        let room_id = self.rooms[room].clone();
        self.people[who].client.leave(&room_id).await;
        self.gone(who, room).await;
    }

    async fn kick(&mut self, room: usize) {
        let whom = self.dice.roll(USERS);
        if !self.people[whom].joined.contains(&room) {
            return;
        }
        let body = json!({"user_id": self.people[whom].client.user_id});
        let room_id = self.rooms[room].clone();
        self.keepers[room].act(&room_id, "kick", body).await.ok();
        self.gone(whom, room).await;
    }

    async fn gone(&mut self, who: usize, room: usize) {
        let room_id = self.rooms[room].clone();
        let event_id = self.member_event(who, &room_id).await;
        self.happened(room, &event_id);
        let person = &mut self.people[who];
        person.joined.remove(&room);
        person.truth.topics.remove(&room_id);
        person.truth.receipts.retain(|(of, _), _| *of != room_id);
        // What was never told of a room to a list that is too short for it is not told when it is over.
        let [_, sliding] = &mut person.readers;
        if !sliding.has_room(&room_id) {
            let events = person.truth.events.get(&room_id);
            sliding.waive(events.into_iter().flatten());
        }
    }

    async fn read(&mut self, who: usize, room: usize) {
        let Some(event_id) = self.said[room].last().cloned() else {
            return;
        };
        let client = self.people[who].client.clone();
        let room_id = self.rooms[room].clone();
        let action = format!("receipt/m.read/{}", encode(&event_id));
        client.act(&room_id, &action, json!({})).await.ok();
        for person in &mut self.people {
            if person.joined.contains(&room) {
                let key = (room_id.clone(), client.user_id.clone());
                // Of a room that is new to a list, only receipts at the events that are shown come.
                let [_, sliding] = &mut person.readers;
                sliding.expect_receipt(&key);
                person.truth.receipts.insert(key, event_id.clone());
            }
        }
    }

    async fn write_to_device(&mut self, who: usize) {
        let whom = self.dice.roll(USERS);
        self.messages += 1;
        let number = self.messages;
        let target = self.people[whom].client.user_id.clone();
        let path = format!("/_matrix/client/v3/sendToDevice/m.test/{number}");
        let body = json!({"messages": {target: {"*": {"number": number}}}});
        self.people[who].client.put(&path, body).await.ok();
        self.people[whom].truth.messages.push(number);
    }

    async fn sync(&mut self) {
        let (who, way) = (self.dice.roll(USERS), self.dice.roll(2));
        let is_lost = self.dice.roll(5) == 0;
        let reader = &mut self.people[who].readers[way];
        if self.dice.roll(8) == 0 {
            let last = [0, 1, 9][self.dice.roll(3)];
            let limit = [1, 5, 20][self.dice.roll(3)];
            reader.look_at(last, limit);
        }
        reader.sync(is_lost).await;
    }

    fn move_to(&mut self, server: &TestServer) {
        for keeper in &mut self.keepers {
            *keeper = keeper.at(server.base());
        }
        for person in &mut self.people {
            person.client = person.client.at(server.base());
            for reader in &mut person.readers {
                reader.client = reader.client.at(server.base());
            }
        }
    }

    async fn end(&mut self) {
        for person in &mut self.people {
            for reader in &mut person.readers {
                reader.look_at(50, 50);
                reader.finish(&person.truth).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_comes_exactly_once() {
    on_own_servers(&[], async |server| {
        let mut world = World::begin(server).await;
        for person in 0..USERS {
            for room in 0..ROOMS - 1 {
                world.join(person, room).await;
            }
        }
        let operations = operations();
        for number in 0..operations {
            if world.dice.roll(3) == 0 {
                world.sync().await;
            } else {
                world.act().await;
            }
            // Some four times in a small run, and not all the time in a large one.
            if number % 1_000.min(operations / 4 + 1) == 100 {
                if world.dice.roll(2) == 0 {
                    server.restart();
                } else {
                    server.kill();
                    server.start_again();
                }
                world.move_to(server);
            }
        }
        world.end().await;
    })
    .await;
}

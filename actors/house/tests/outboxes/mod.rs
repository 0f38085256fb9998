//! Sending to other servers, against a network in memory.

mod returns;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use playhouse_schema::{
    address::Entity,
    models::{parked::Parked, to_device_out},
    port::{EntityRange, StoredRecord},
};
use ruma::{OwnedServerName, OwnedUserId, RoomId, UserId, signatures::PublicKeyMap};
use serde_json::Value as JsonValue;

use super::{
    wired::{Servers, Wired},
    *,
};
use crate::{
    followers::outboxes,
    house::{ParkedPlace, ToDeviceWish},
    network::{KeysWanted, Network, PeerError, PeerRequest},
    room::{
        RoomCommand,
        message::{ChangeMembership, MemberProfile, MembershipAction},
    },
    user::message::Session,
};

/// How a server behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Mood {
    #[default]
    Well,
    /// Cannot be reached.
    Gone,
    /// Takes what it gets, but the answer is lost.
    Mute,
    /// Never answers.
    Dead,
}

#[derive(Default)]
struct Peer {
    mood: Mood,
    /// Transactions that were taken in: first time only, in order.
    bodies: Vec<JsonValue>,
    known: BTreeMap<String, Bytes>,
    at_once: usize,
    asked: usize,
}

/// Servers in memory.
#[derive(Default)]
struct Wire(Mutex<BTreeMap<OwnedServerName, Peer>>);

/// Counts one that asks for as long as it does.
struct Asking(Arc<Wire>, OwnedServerName);

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.with(&self.1, |peer| peer.at_once -= 1);
    }
}

impl Wire {
    fn with<T>(&self, name: &OwnedServerName, look: impl FnOnce(&mut Peer) -> T) -> T {
        look(self.0.lock().entry(name.clone()).or_default())
    }

    fn set(&self, name: &OwnedServerName, mood: Mood) {
        self.with(name, |peer| peer.mood = mood);
    }

    /// Texts of the messages that a server has, in order, each once.
    fn messages(&self, name: &OwnedServerName) -> Vec<String> {
        let bodies = self.with(name, |peer| peer.bodies.clone());
        let mut seen = BTreeSet::new();
        let pdus = bodies
            .iter()
            .flat_map(|body| body["pdus"].as_array().cloned().unwrap());
        pdus.filter(|pdu| pdu["type"] == "m.room.message" && seen.insert(pdu["hashes"].to_string()))
            .map(|pdu| pdu["content"]["body"].as_str().unwrap().to_owned())
            .collect()
    }

    /// How often a server was sent a message with this text.
    fn copies(&self, name: &OwnedServerName, text: &str) -> usize {
        let bodies = self.with(name, |peer| peer.bodies.clone());
        let pdus = bodies
            .iter()
            .flat_map(|body| body["pdus"].as_array().cloned().unwrap());
        pdus.filter(|pdu| pdu["content"]["body"] == text).count()
    }

    /// Message IDs of the to-device messages that a server has.
    fn direct(&self, name: &OwnedServerName) -> Vec<String> {
        let edus = self.edus(name, "m.direct_to_device");
        edus.iter()
            .map(|edu| edu["message_id"].as_str().unwrap().to_owned())
            .collect()
    }

    fn edus(&self, name: &OwnedServerName, edu_type: &str) -> Vec<JsonValue> {
        let bodies = self.with(name, |peer| peer.bodies.clone());
        let edus = bodies
            .iter()
            .flat_map(|body| body["edus"].as_array().cloned().unwrap_or_default());
        edus.filter(|edu| edu["edu_type"] == edu_type)
            .map(|edu| edu["content"].clone())
            .collect()
    }
}

/// The network of one server.
struct Line(Arc<Wire>);

impl Network for Line {
    fn ask(&self, request: PeerRequest) -> BoxFuture<'static, Result<Bytes, PeerError>> {
        let wire = self.0.clone();
        Box::pin(async move {
            let name = request.destination.clone();
            let mood = wire.with(&name, |peer| {
                peer.at_once += 1;
                peer.asked += 1;
                assert_eq!(peer.at_once, 1, "one transaction at a time");
                peer.mood
            });
            let _asking = Asking(wire.clone(), name.clone());
            tokio::task::yield_now().await;
            if mood == Mood::Dead {
                std::future::pending::<()>().await;
            }
            if mood == Mood::Gone {
                return Err(PeerError::Unreachable("gone".to_owned()));
            }
            let id = request.path.rsplit('/').next().unwrap().to_owned();
            let body = request.body.unwrap();
            wire.with(&name, |peer| match peer.known.get(&id) {
                Some(known) => assert_eq!(*known, body, "the same body under the same ID"),
                None => {
                    let parsed: JsonValue = serde_json::from_slice(&body).unwrap();
                    assert!(parsed["pdus"].as_array().unwrap().len() <= 50);
                    peer.bodies.push(parsed);
                    peer.known.insert(id, body);
                }
            });
            match mood {
                Mood::Mute => Err(PeerError::TooSlow),
                _ => Ok(Bytes::from_static(b"{}")),
            }
        })
    }

    fn keys(&self, _wanted: KeysWanted) -> BoxFuture<'static, PublicKeyMap> {
        Box::pin(async { PublicKeyMap::new() })
    }
}

impl Servers for Wire {
    fn network(wire: Arc<Self>) -> Arc<dyn Network> {
        Arc::new(Line(wire))
    }
}

type Stage = Wired<Wire>;

impl Stage {
    async fn join(&self, room_id: &RoomId, user_id: &UserId) {
        let join = ChangeMembership {
            sender: user_id.to_owned(),
            target: user_id.to_owned(),
            action: MembershipAction::Join,
            reason: None,
            profile: MemberProfile::default(),
            extra_content: None,
            restriction_met: false,
            guest: false,
        };
        let command = RoomCommand::ChangeMembership(Box::new(join));
        self.trial
            .house
            .room_command(room_id, command)
            .await
            .unwrap();
    }

    async fn say(&self, room_id: &RoomId, text: &str) {
        let event = SendEvent::new(
            self.alice.clone(),
            TimelineEventType::RoomMessage,
            json!({ "msgtype": "m.text", "body": text }).to_string(),
        );
        self.trial.send(room_id, event).await;
    }

    async fn whisper(&self, to: &UserId, number: usize) {
        let session = Session {
            user_id: self.alice.clone(),
            device_id: None,
            admin: false,
            guest: false,
            suspended: false,
            locked: false,
            expires_ms: None,
            valid_until_ms: None,
            shadow_banned: false,
            rate: None,
            confirms_refresh: false,
        };
        let content = json!({ "number": number }).to_string();
        let wish = ToDeviceWish {
            event_type: "m.test".to_owned(),
            transaction_id: number.to_string(),
            messages: BTreeMap::from([(to.to_owned(), vec![("D".to_owned(), content)])]),
        };
        self.trial
            .house
            .send_to_device(&session, wish)
            .await
            .unwrap();
    }

    /// Parks what a record says for the reader, and wants it to be tried again.
    async fn park(&self, record: &StoredRecord) {
        let house = &self.trial.house;
        let program = env!("CARGO_PKG_VERSION");
        let parked = Parked::new(outboxes::NAME, record, program, &"poison");
        let store = house.models().store();
        store.apply(vec![parked.park()], Vec::new()).await.unwrap();
        let place = ParkedPlace {
            reader: parked.name,
            shard: parked.shard,
            position: parked.position,
        };
        house.retry_parked(&place).await.unwrap();
    }

    async fn until_nothing_is_parked(&self) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while self.trial.house.parked(None, 1).await.unwrap().1 > 0 {
            assert!(tokio::time::Instant::now() < deadline, "it stays parked");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn room(&self) -> OwnedRoomId {
        let public = |wish: &mut RoomWish| wish.preset = Some(Preset::PublicChat);
        self.trial.room(&self.alice, public).await
    }
}

fn user(server: &str) -> (OwnedServerName, OwnedUserId) {
    let name = OwnedServerName::try_from(server).unwrap();
    let user_id = UserId::parse(format!("@bob:{server}")).unwrap();
    (name, user_id)
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(120);
    while !holds() {
        assert!(tokio::time::Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_arrives_in_order_whatever_the_peer_does() {
    let stage = Stage::new().await;
    let room_id = stage.room().await;
    let (peer, bob) = user("peer.example");
    stage.join(&room_id, &bob).await;
    let moods = [Mood::Well, Mood::Gone, Mood::Mute, Mood::Well, Mood::Mute];
    let mut said = Vec::new();
    for number in 0..100 {
        stage.wire.set(&peer, moods[number / 3 % moods.len()]);
        let text = format!("message {number}");
        stage.say(&room_id, &text).await;
        said.push(text);
    }
    stage.wire.set(&peer, Mood::Well);
    until("all arrive", || stage.wire.messages(&peer).len() == 100).await;
    assert_eq!(stage.wire.messages(&peer), said);
    // Who types is told to whoever is not behind.
    let house = &stage.trial.house;
    until("nothing is left", || {
        let counts = house.outbox_counts();
        (counts.behind, counts.backing_off) == (0, 0)
    })
    .await;
    let typing = house.set_typing(&room_id, &stage.alice, 60_000);
    typing.await.unwrap();
    until("typing arrives", || {
        !stage.wire.edus(&peer, "m.typing").is_empty()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_repeated_by_crashes() {
    let mut stage = Stage::new().await;
    let room_id = stage.room().await;
    let (peer, bob) = user("peer.example");
    stage.join(&room_id, &bob).await;
    let moods = [Mood::Well, Mood::Gone, Mood::Dead, Mood::Mute];
    let (mut said, mut whispered) = (Vec::new(), 0);
    for round in 0..12 {
        stage.wire.set(&peer, moods[round % moods.len()]);
        for number in 0..6 {
            let text = format!("round {round} message {number}");
            stage.say(&room_id, &text).await;
            said.push(text);
            stage.whisper(&bob, whispered).await;
            whispered += 1;
        }
        // Another moment each time.
        tokio::time::sleep(Duration::from_millis(round as u64 * 9)).await;
        stage = stage.crash().await;
    }
    stage.wire.set(&peer, Mood::Well);
    let wire = stage.wire.clone();
    let has_all = || {
        let direct: BTreeSet<_> = wire.direct(&peer).into_iter().collect();
        wire.messages(&peer).len() >= said.len() && direct.len() >= whispered
    };
    until("all arrive", has_all).await;
    assert_eq!(wire.messages(&peer), said);
    // Nothing comes again but under the same ID.
    let direct = wire.direct(&peer);
    assert_eq!(direct.len(), whispered, "{direct:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dead_do_not_delay_the_living() {
    let stage = Stage::new().await;
    let room_id = stage.room().await;
    let living: Vec<_> = (0..20)
        .map(|n| user(&format!("n{n}.living.example")))
        .collect();
    for (_, user_id) in &living {
        stage.join(&room_id, user_id).await;
    }
    stage.say(&room_id, "hello").await;
    let has = |count: usize| {
        let wire = stage.wire.clone();
        let living = living.clone();
        move || {
            living
                .iter()
                .all(|(name, _)| wire.messages(name).len() == count)
        }
    };
    until("the living hear", has(1)).await;
    let dead: Vec<_> = (0..400)
        .map(|n| user(&format!("a{n}.dead.example")))
        .collect();
    for (name, user_id) in &dead {
        stage.wire.set(name, Mood::Dead);
        stage.join(&room_id, user_id).await;
    }
    for number in 2..12 {
        stage.say(&room_id, &format!("message {number}")).await;
        until("the living hear while all the dead are silent", has(number)).await;
    }
    let asked = |name: &OwnedServerName| stage.wire.with(name, |peer| peer.asked);
    assert!(dead.iter().all(|(name, _)| asked(name) <= 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_of_life_ends_the_waiting() {
    let stage = Stage::new().await;
    let room_id = stage.room().await;
    let (peer, bob) = user("peer.example");
    stage.join(&room_id, &bob).await;
    stage.wire.set(&peer, Mood::Gone);
    stage.say(&room_id, "one").await;
    until("it is tried", || {
        stage.trial.house.outbox_counts().backing_off == 1
    })
    .await;
    // What the destination itself says of its failure, the list says, too.
    let house = &stage.trial.house;
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while house.outlook(&peer, None).await.unwrap().unwrap().failures == 0 {
        assert!(tokio::time::Instant::now() < deadline, "it never fails");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let backlogs = house.backlogs(("", 10), true).await.unwrap();
    let [backlog] = &backlogs[..] else {
        panic!("{backlogs:?}");
    };
    assert_eq!(backlog.destination.server_name, peer.as_str());
    assert!(backlog.destination.failures > 0);
    for number in 0..60 {
        stage.say(&room_id, &format!("message {number}")).await;
    }
    stage.wire.set(&peer, Mood::Well);
    stage.trial.house.peer_alive(&peer);
    until("all arrive", || stage.wire.messages(&peer).len() == 61).await;
    until("nothing is left", || {
        stage.trial.house.outbox_counts().behind == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_parked_is_sent_to_whom_it_concerned() {
    let stage = Stage::new().await;
    let room_id = stage.room().await;
    let ((peer, bob), (late, carl)) = (user("peer.example"), user("late.example"));
    stage.join(&room_id, &bob).await;
    let event = message(&stage.alice, "lost");
    let event_id = stage.trial.send(&room_id, event).await;
    stage.whisper(&bob, 7).await;
    until("both arrive", || {
        stage.wire.copies(&peer, "lost") == 1 && stage.wire.direct(&peer).len() == 1
    })
    .await;
    stage.join(&room_id, &carl).await;
    let store = stage.trial.house.store();
    let said = store.find(Family::Rooms, event_id.as_str()).await;
    let said = said.unwrap().unwrap();
    let range = EntityRange {
        from: 1,
        to: u64::MAX >> 1,
        backwards: true,
        limit: 100,
    };
    let entity = Entity::user(stage.alice.as_str());
    let own = store.read_entity(&entity, range).await.unwrap();
    let whispered = own.into_iter().find(|record| {
        let to = to_device_out::servers_of(record);
        to.is_ok_and(|servers| !servers.is_empty())
    });
    // Who is away is owed it, also in another life.
    stage.wire.set(&peer, Mood::Gone);
    stage.park(&said).await;
    stage.park(&whispered.unwrap()).await;
    stage.until_nothing_is_parked().await;
    let stage = stage.crash().await;
    stage.wire.set(&peer, Mood::Well);
    until("both arrive again", || {
        stage.wire.copies(&peer, "lost") == 2 && stage.wire.direct(&peer).len() == 2
    })
    .await;
    stage.say(&room_id, "to both").await;
    until("life goes on", || {
        [&peer, &late].map(|name| stage.wire.copies(name, "to both")) == [1, 1]
    })
    .await;
    // Who was not in the room then is owed nothing, and what was owed is sent once.
    assert_eq!(stage.wire.copies(&late, "lost"), 0);
    assert_eq!(stage.wire.copies(&peer, "lost"), 2);
}

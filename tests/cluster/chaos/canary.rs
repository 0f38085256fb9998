//! Messages by which is seen whether shards are served: in rooms for those of rooms, account data for those of users, and messages that another server must
//! be sent for those of servers.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use parking_lot::Mutex;
use playhouse_schema::address::{Entity, Family, Layout, Shard};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::{task::JoinSet, time};

use crate::{
    cluster::load::{account, create_room, history},
    harness::{Client, Peers, client::encode, guest::Guest, server::SERVER_NAME},
};

/// A shard is tried so often at first, and later each time that this part of the time has gone by: who is slow is not made slower.
const TRY_EVERY: Duration = Duration::from_millis(50);
const TRY_EVERY_PART: u32 = 20;

/// Where many are tried at once each of them is tried as many times this less often.
const TRY_EVERY_EACH: Duration = Duration::from_millis(4);

/// So often is looked whether another server was sent something.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// An attempt is given up after this time at first, and later after this part of the time: others are under way.
const TRY_FOR: Duration = Duration::from_secs(2);
const TRY_FOR_PART: u32 = 2;

/// So many attempts are under way for a shard at most.
const TRIES_MAX: usize = 24;

/// A shard is served again within this time.
const SERVED_WITHIN: Duration = Duration::from_secs(300);

/// So many rooms and users are made at once.
const AT_ONCE: usize = 8;

/// So many are enough to find one for each of 64 shards.
const TRIED_MAX: usize = 2_000;

/// What account data is set by them.
const OF_ACCOUNT: &str = "playhouse.canary";

/// A room in each shard of rooms, a user in each of users, another server in each of servers, and somebody who speaks there.
pub(super) struct Canaries {
    voices: BTreeMap<Shard, Voice>,
    ledger: Arc<Ledger>,
}

/// Who speaks in one of them.
#[derive(Clone)]
pub(super) struct Voice {
    client: Client,
    place: Place,
    ledger: Arc<Ledger>,
}

/// Where it speaks.
#[derive(Clone)]
enum Place {
    Room(String),
    /// In account data of its own.
    Account,
    /// In a room with a user of another server, who must be told.
    Peer {
        room_id: String,
        name: String,
        peers: Arc<Peers>,
    },
}

impl Place {
    fn room_id(&self) -> Option<&str> {
        match self {
            Self::Room(room_id) | Self::Peer { room_id, .. } => Some(room_id),
            Self::Account => None,
        }
    }
}

/// The name of a server in each shard of servers.
pub(super) fn peer_names(layout: Layout) -> Vec<String> {
    one_each(layout, |number| format!("far{number}.test"), Entity::server)
}

/// A name in each shard, of many.
fn one_each(
    layout: Layout,
    name: impl Fn(usize) -> String,
    entity: impl Fn(&str) -> Entity,
) -> Vec<String> {
    let mut names = BTreeMap::new();
    for number in 0..TRIED_MAX {
        let name = name(number);
        let shard = layout.shard_of(&entity(&name));
        names.entry(shard).or_insert(name);
    }
    names.into_values().collect()
}

/// What was said, and acknowledged.
#[derive(Default)]
struct Ledger {
    said: AtomicUsize,
    /// So many wait for an acknowledgement.
    waiting: AtomicUsize,
    /// By room: each event with what was said.
    acked: Mutex<BTreeMap<String, Vec<(String, String)>>>,
    /// Account data was set so often.
    set: AtomicUsize,
}

impl Ledger {
    fn acked(&self) -> usize {
        let said: usize = self.acked.lock().values().map(Vec::len).sum();
        said + self.set.load(Ordering::Relaxed)
    }

    fn acked_in(&self, room_id: &str) -> Vec<(String, String)> {
        let acked = self.acked.lock();
        acked.get(room_id).cloned().unwrap_or_default()
    }
}

/// Held by who waits for an acknowledgement.
struct Waiting(Arc<Ledger>);

impl Waiting {
    fn new(ledger: &Arc<Ledger>) -> Self {
        ledger.waiting.fetch_add(1, Ordering::Relaxed);
        Self(ledger.clone())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Canaries {
    /// Makes rooms and users until each shard has one, and has those of other servers join.
    pub(super) async fn settle(client: &Client, layout: Layout, peers: &Arc<Peers>) -> Self {
        let mut canaries = Self {
            voices: BTreeMap::new(),
            ledger: Arc::default(),
        };
        canaries.settle_rooms(client, layout).await;
        canaries.settle_users(client.base(), layout).await;
        canaries.settle_peers(client, layout, peers).await;
        for family in Family::ALL {
            assert!(canaries.is_full(family, layout), "{family} lack somebody");
        }
        canaries
    }

    fn is_full(&self, family: Family, layout: Layout) -> bool {
        let shards = self.voices.keys();
        let settled = shards.filter(|shard| shard.family == family).count();
        settled == usize::from(layout.shards)
    }

    fn add(&mut self, shard: Shard, client: &Client, place: Place) {
        let voice = Voice {
            client: client.clone(),
            place,
            ledger: self.ledger.clone(),
        };
        self.voices.insert(shard, voice);
    }

    async fn settle_rooms(&mut self, client: &Client, layout: Layout) {
        let none = json!({});
        for _ in (0..TRIED_MAX).step_by(AT_ONCE) {
            if self.is_full(Family::Rooms, layout) {
                return;
            }
            let rooms = (0..AT_ONCE).map(|_| create_room(client, &none));
            for room_id in join_all(rooms).await {
                let shard = layout.shard_of(&Entity::room(&room_id));
                self.add(shard, client, Place::Room(room_id));
            }
        }
    }

    async fn settle_users(&mut self, base: &str, layout: Layout) {
        let user = |name: &str| Entity::user(&format!("@{name}:{SERVER_NAME}"));
        let names = one_each(layout, |number| format!("canary{number}"), user);
        for some in names.chunks(AT_ONCE) {
            for client in join_all(some.iter().map(|name| account(base, name))).await {
                let shard = layout.shard_of(&Entity::user(&client.user_id));
                self.add(shard, &client, Place::Account);
            }
        }
    }

    async fn settle_peers(&mut self, client: &Client, layout: Layout, peers: &Arc<Peers>) {
        let wish = json!({"preset": "public_chat", "room_version": "11"});
        for name in peers.names() {
            let room_id = create_room(client, &wish).await;
            let user_id = format!("@canary:{name}");
            Guest::join(&client.nobody(), &room_id, &user_id).await;
            let place = Place::Peer {
                room_id,
                name: name.clone(),
                peers: peers.clone(),
            };
            let shard = layout.shard_of(&Entity::server(name));
            self.add(shard, client, place);
        }
    }

    /// Those of some shards.
    pub(super) fn voices(&self, shards: &[Shard]) -> Vec<Voice> {
        shards
            .iter()
            .map(|shard| self.voices[shard].clone())
            .collect()
    }

    /// How long each of some shards is not served from a moment on, asked by these nodes.
    pub(super) async fn away(
        &self,
        shards: &[Shard],
        doors: &[String],
        since: Instant,
    ) -> Vec<(Shard, Duration)> {
        let many = u32::try_from(shards.len()).expect("few shards");
        let every = TRY_EVERY.max(TRY_EVERY_EACH * many);
        let voices = self.voices(shards).into_iter();
        let away = join_all(voices.map(|voice| voice.until_heard(doors, since, every))).await;
        shards.iter().copied().zip(away).collect()
    }

    /// Waits until so much more was acknowledged, and something is on its way. Those who speak must be at it.
    pub(super) async fn until_busy(&self, more: usize) {
        let (since, wanted) = (Instant::now(), self.ledger.acked() + more);
        while self.ledger.acked() < wanted || self.ledger.waiting.load(Ordering::Relaxed) == 0 {
            assert!(since.elapsed() < SERVED_WITHIN, "nobody is heard");
            time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Whatever was acknowledged stands in its room once, and nothing stands there twice.
    pub(super) async fn check(&self) {
        for voice in self.voices.values() {
            let Some(room_id) = voice.place.room_id() else {
                continue;
            };
            let history = history(&voice.client, room_id).await;
            let mut said = BTreeSet::new();
            let mut known = BTreeSet::new();
            for event in &history {
                let event_id = event["event_id"].as_str().unwrap_or_default();
                assert!(known.insert(event_id), "{event_id} stands there twice");
                if let Some(text) = event["content"]["body"].as_str() {
                    assert!(said.insert(text), "{text} was said twice");
                }
            }
            for (event_id, _) in self.ledger.acked_in(room_id) {
                assert!(known.contains(event_id.as_str()), "{event_id} is lost");
            }
        }
    }

    /// Whatever was acknowledged was sent to the other servers. So many messages, and so many that came more than once.
    pub(super) async fn check_peers(&self) -> (usize, usize) {
        let (mut sent, mut repeated) = (0, 0);
        for voice in self.voices.values() {
            let Place::Peer {
                room_id,
                name,
                peers,
            } = &voice.place
            else {
                continue;
            };
            let acked = self.ledger.acked_in(room_id).into_iter();
            let mut missing: BTreeMap<String, String> =
                acked.map(|(event_id, text)| (text, event_id)).collect();
            let (since, mut looked_at) = (Instant::now(), 0);
            let mut different = BTreeSet::new();
            loop {
                let events = peers.received_after(name, looked_at);
                looked_at += events.len();
                let texts = events.iter().map(|event| &event["content"]["body"]);
                for text in texts.filter_map(Value::as_str) {
                    missing.remove(text);
                    repeated += usize::from(!different.insert(text.to_owned()));
                }
                let Some(event_id) = missing.values().next() else {
                    break;
                };
                let is_over = since.elapsed() > SERVED_WITHIN;
                assert!(!is_over, "{event_id} never came to {name}");
                time::sleep(LOOK_EVERY).await;
            }
            sent += different.len();
        }
        (sent, repeated)
    }
}

fn is_said(event: &Value, text: &str) -> bool {
    event["content"]["body"] == text
}

impl Voice {
    /// Says something by a node. Whether it was acknowledged in time, and heard where another server must hear it.
    async fn say(self, door: String, within: Duration) -> bool {
        let number = self.ledger.said.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting::new(&self.ledger);
        let said = time::timeout(within, self.try_to_say(&door, number)).await;
        said.unwrap_or(false)
    }

    async fn try_to_say(&self, door: &str, number: usize) -> bool {
        let text = number.to_string();
        let body = json!({"msgtype": "m.text", "body": text});
        let client = self.client.at(door);
        let Ok(answer) = client
            .try_request(Method::PUT, &self.path(number), Some(body))
            .await
        else {
            return false;
        };
        if answer.status != 200 {
            return false;
        }
        let Some(room_id) = self.place.room_id() else {
            self.ledger.set.fetch_add(1, Ordering::Relaxed);
            return true;
        };
        let Some(event_id) = answer.body["event_id"].as_str() else {
            return false;
        };
        {
            let mut acked = self.ledger.acked.lock();
            let of_room = acked.entry(room_id.to_owned()).or_default();
            of_room.push((event_id.to_owned(), text.clone()));
        }
        if let Place::Peer { name, peers, .. } = &self.place {
            while !peers.was_sent(name, |event| is_said(event, &text)) {
                time::sleep(LOOK_EVERY).await;
            }
        }
        true
    }

    fn path(&self, number: usize) -> String {
        match self.place.room_id() {
            Some(room_id) => format!(
                "/_matrix/client/v3/rooms/{}/send/m.room.message/canary{number}",
                encode(room_id)
            ),
            None => format!(
                "/_matrix/client/v3/user/{}/account_data/{OF_ACCOUNT}",
                encode(&self.client.user_id)
            ),
        }
    }

    /// Says something again and again, by one node after the other, until it is acknowledged.
    async fn until_heard(self, doors: &[String], since: Instant, every: Duration) -> Duration {
        let mut tries = JoinSet::new();
        let (mut next, mut turn) = (time::Instant::now(), 0);
        loop {
            tokio::select! {
                Some(tried) = tries.join_next() => {
                    if tried.unwrap_or(false) {
                        return since.elapsed();
                    }
                }
                () = time::sleep_until(next), if tries.len() < TRIES_MAX => {
                    let door = doors[turn % doors.len()].clone();
                    let within = TRY_FOR.max(since.elapsed() / TRY_FOR_PART);
                    tries.spawn(self.clone().say(door, within));
                    next = time::Instant::now() + every.max(since.elapsed() / TRY_EVERY_PART);
                    turn += 1;
                }
            }
            assert!(
                since.elapsed() < SERVED_WITHIN,
                "{} is never served again",
                self.path(0)
            );
        }
    }

    /// Says something all the time, by one node, until told to end.
    pub(super) async fn go_on(self, door: String, is_over: Arc<AtomicBool>, patience: Duration) {
        while !is_over.load(Ordering::Relaxed) {
            self.clone().say(door.clone(), patience).await;
        }
    }
}

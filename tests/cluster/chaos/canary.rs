//! Messages by which is seen whether shards are served.

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
use playhouse_schema::address::{Entity, Layout};
use reqwest::Method;
use serde_json::json;
use tokio::{task::JoinSet, time};

use crate::{
    cluster::load::{create_room, history},
    harness::{Client, client::encode},
};

/// A shard is tried so often at first, and later each time that this part of the time has gone by: who is slow is not made slower.
const TRY_EVERY: Duration = Duration::from_millis(50);
const TRY_EVERY_PART: u32 = 20;

/// An attempt is given up after this time at first, and later after this part of the time: others are under way.
const TRY_FOR: Duration = Duration::from_secs(2);
const TRY_FOR_PART: u32 = 2;

/// So many attempts are under way for a shard at most.
const TRIES_MAX: usize = 24;

/// A shard is served again within this time.
const SERVED_WITHIN: Duration = Duration::from_secs(300);

/// So many rooms are made at once while shards have none.
const ROOMS_AT_ONCE: usize = 8;

/// So many are enough to find one for each of 64 shards.
const ROOMS_MAX: usize = 2_000;

/// A room in each shard of rooms, and somebody who speaks there.
pub(super) struct Canaries {
    voices: BTreeMap<u64, Voice>,
    ledger: Arc<Ledger>,
}

/// Who speaks in one of them.
#[derive(Clone)]
pub(super) struct Voice {
    client: Client,
    room_id: String,
    ledger: Arc<Ledger>,
}

/// What was said, and acknowledged.
#[derive(Default)]
struct Ledger {
    said: AtomicUsize,
    /// So many wait for an acknowledgement.
    waiting: AtomicUsize,
    acked: Mutex<BTreeMap<String, Vec<String>>>,
}

impl Ledger {
    fn acked(&self) -> usize {
        self.acked.lock().values().map(Vec::len).sum()
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
    /// Makes rooms until each shard has one.
    pub(super) async fn settle(client: &Client, layout: Layout) -> Self {
        let mut canaries = Self {
            voices: BTreeMap::new(),
            ledger: Arc::default(),
        };
        let none = json!({});
        for made in (0..ROOMS_MAX).step_by(ROOMS_AT_ONCE) {
            if canaries.voices.len() == usize::from(layout.shards) {
                return canaries;
            }
            let rooms = (made..made + ROOMS_AT_ONCE).map(|_| create_room(client, &none));
            for room_id in join_all(rooms).await {
                let shard = layout.shard_of(&Entity::room(&room_id));
                let voice = Voice {
                    client: client.clone(),
                    room_id,
                    ledger: canaries.ledger.clone(),
                };
                canaries.voices.insert(u64::from(shard.number), voice);
            }
        }
        panic!("some shards have no room");
    }

    /// Those of some shards.
    pub(super) fn voices(&self, shards: &[u64]) -> Vec<Voice> {
        shards
            .iter()
            .map(|shard| self.voices[shard].clone())
            .collect()
    }

    /// How long each of some shards is not served from a moment on, asked by these nodes.
    pub(super) async fn away(
        &self,
        shards: &[u64],
        doors: &[String],
        since: Instant,
    ) -> Vec<Duration> {
        let voices = self.voices(shards).into_iter();
        join_all(voices.map(|voice| voice.until_heard(doors, since))).await
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
            let history = history(&voice.client, &voice.room_id).await;
            let mut said = BTreeSet::new();
            let mut known = BTreeSet::new();
            for event in &history {
                let event_id = event["event_id"].as_str().unwrap_or_default();
                assert!(known.insert(event_id), "{event_id} stands there twice");
                if let Some(text) = event["content"]["body"].as_str() {
                    assert!(said.insert(text), "{text} was said twice");
                }
            }
            let acked = self.ledger.acked.lock();
            for event_id in acked.get(&voice.room_id).into_iter().flatten() {
                assert!(known.contains(event_id.as_str()), "{event_id} is lost");
            }
        }
    }
}

impl Voice {
    /// Says something by a node. Whether it was acknowledged in time.
    async fn say(self, door: String, within: Duration) -> bool {
        let number = self.ledger.said.fetch_add(1, Ordering::Relaxed);
        let path = format!(
            "/_matrix/client/v3/rooms/{}/send/m.room.message/canary{number}",
            encode(&self.room_id)
        );
        let body = json!({"msgtype": "m.text", "body": number.to_string()});
        let client = self.client.at(&door);
        let _waiting = Waiting::new(&self.ledger);
        let asked = client.try_request(Method::PUT, &path, Some(body));
        let Ok(Ok(answer)) = time::timeout(within, asked).await else {
            return false;
        };
        let event_id = answer.body["event_id"].as_str();
        let Some(event_id) = event_id.filter(|_| answer.status == 200) else {
            return false;
        };
        let mut acked = self.ledger.acked.lock();
        let of_room = acked.entry(self.room_id.clone()).or_default();
        of_room.push(event_id.to_owned());
        true
    }

    /// Says something again and again, by one node after the other, until it is acknowledged.
    async fn until_heard(self, doors: &[String], since: Instant) -> Duration {
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
                    next = time::Instant::now() + TRY_EVERY.max(since.elapsed() / TRY_EVERY_PART);
                    turn += 1;
                }
            }
            assert!(
                since.elapsed() < SERVED_WITHIN,
                "{} is never served again",
                self.room_id
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

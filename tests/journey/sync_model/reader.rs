//! A client that reads along by one of the two syncs, and checks that nothing comes twice.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::Truth;
use crate::harness::{Client, client::encode};

/// By which sync it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Plain,
    Sliding,
}

/// What came of a room in one answer.
struct Told<'a> {
    timeline: &'a Value,
    /// State before the timeline.
    before: &'a Value,
    /// State after the timeline.
    after: &'a Value,
    prev_batch: &'a Value,
    /// The timeline does not go on from what came before.
    is_limited: bool,
    /// It may contain what came before.
    may_repeat: bool,
    is_left: bool,
    receipts: Option<&'a Value>,
}

/// See the module's documentation.
pub(super) struct Reader {
    pub(super) client: Client,
    way: Way,
    token: Option<String>,
    to_device: Option<String>,
    last: u64,
    limit: u64,
    /// Events by room.
    seen: BTreeMap<String, BTreeSet<String>>,
    /// Rooms that were told and not left.
    rooms: BTreeSet<String>,
    waived: BTreeSet<String>,
    waived_receipts: BTreeSet<(String, String)>,
    messages: Vec<u64>,
    receipts: BTreeMap<(String, String), String>,
    topics: BTreeMap<String, String>,
}

impl Reader {
    pub(super) fn new(client: &Client, way: Way) -> Self {
        Self {
            client: client.clone(),
            way,
            token: None,
            to_device: None,
            last: 9,
            limit: 10,
            seen: BTreeMap::new(),
            rooms: BTreeSet::new(),
            waived: BTreeSet::new(),
            waived_receipts: BTreeSet::new(),
            messages: Vec::new(),
            receipts: BTreeMap::new(),
            topics: BTreeMap::new(),
        }
    }

    pub(super) fn has_room(&self, room_id: &str) -> bool {
        self.rooms.contains(room_id)
    }

    pub(super) fn waive<'a>(&mut self, events: impl Iterator<Item = &'a String>) {
        self.waived.extend(events.cloned());
    }

    /// A receipt moved: it must come if the room is known.
    pub(super) fn expect_receipt(&mut self, key: &(String, String)) {
        if self.rooms.contains(&key.0) {
            self.waived_receipts.remove(key);
        } else {
            self.waived_receipts.insert(key.clone());
        }
    }

    /// Looks at so many rooms, and so many events of each.
    pub(super) fn look_at(&mut self, last: u64, limit: u64) {
        (self.last, self.limit) = (last, limit);
    }

    /// Syncs once; the answer may get lost.
    pub(super) async fn sync(&mut self, is_lost: bool) {
        let answer = match self.way {
            Way::Plain => self.ask_plain().await,
            Way::Sliding => self.ask_sliding().await,
        };
        if is_lost {
            return;
        }
        match self.way {
            Way::Plain => self.take_plain(&answer).await,
            Way::Sliding => self.take_sliding(&answer).await,
        }
    }

    async fn ask_plain(&self) -> Value {
        let filter = json!({"room": {"timeline": {"limit": self.limit}}});
        let query = format!("filter={}", encode(&filter.to_string()));
        self.client.sync(self.token.as_deref(), &query).await
    }

    async fn ask_sliding(&self) -> Value {
        let pos = self
            .token
            .as_ref()
            .map(|pos| format!("&pos={}", encode(pos)));
        let path = format!(
            "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync?timeout=0{}",
            pos.unwrap_or_default()
        );
        let mut to_device = json!({"enabled": true});
        if let Some(since) = &self.to_device {
            to_device["since"] = json!(since);
        }
        let body = json!({
            "lists": {"all": {"ranges": [[0, self.last]], "timeline_limit": self.limit,
                "required_state": [["m.room.topic", ""], ["m.room.member", "$LAZY"]]}},
            "extensions": {"to_device": to_device, "receipts": {"enabled": true}},
        });
        self.client.post(&path, body).await.ok()
    }

    async fn take_plain(&mut self, answer: &Value) {
        self.token = answer["next_batch"].as_str().map(ToOwned::to_owned);
        self.take_messages(&answer["to_device"]["events"]);
        for (section, is_left) in [("join", false), ("leave", true)] {
            for (room_id, room) in answer["rooms"][section].as_object().into_iter().flatten() {
                let timeline = &room["timeline"];
                let is_limited = timeline["limited"] == true;
                let events = room["ephemeral"]["events"].as_array();
                let is_receipt = |event: &&Value| event["type"] == "m.receipt";
                let told = Told {
                    timeline: &timeline["events"],
                    before: &room["state"]["events"],
                    after: &Value::Null,
                    prev_batch: &timeline["prev_batch"],
                    is_limited,
                    // Who comes back to a room begins it anew.
                    may_repeat: is_limited,
                    is_left,
                    receipts: events.and_then(|events| events.iter().find(is_receipt)),
                };
                self.take_room(room_id, told).await;
            }
        }
    }

    async fn take_sliding(&mut self, answer: &Value) {
        self.token = answer["pos"].as_str().map(ToOwned::to_owned);
        let extensions = &answer["extensions"];
        let next = extensions["to_device"]["next_batch"].as_str();
        self.to_device = next.map(ToOwned::to_owned);
        self.take_messages(&extensions["to_device"]["events"]);
        let receipts = &extensions["receipts"]["rooms"];
        for (room_id, room) in answer["rooms"].as_object().into_iter().flatten() {
            let is_own_leave = |event: &&Value| {
                event["state_key"] == *self.client.user_id && event["type"] == "m.room.member"
            };
            let timeline = room["timeline"].as_array();
            let own = timeline.and_then(|events| events.iter().rev().find(is_own_leave));
            let is_left = own.is_some_and(|event| event["content"]["membership"] == "leave");
            let told = Told {
                timeline: &room["timeline"],
                before: &Value::Null,
                after: &room["required_state"],
                prev_batch: &room["prev_batch"],
                is_limited: room["limited"] == true,
                may_repeat: room["initial"] == true || room["unstable_expanded_timeline"] == true,
                is_left,
                receipts: None,
            };
            self.take_room(room_id, told).await;
        }
        for (room_id, event) in receipts.as_object().into_iter().flatten() {
            self.take_receipts(room_id, event);
        }
    }

    async fn take_room(&mut self, room_id: &str, told: Told<'_>) {
        let events = told.timeline.as_array().map_or(&[][..], Vec::as_slice);
        let known = self.seen.entry(room_id.to_owned()).or_default().clone();
        let repeats = events.iter().any(|event| known.contains(&id(event)));
        assert!(
            told.may_repeat || !repeats,
            "{:?} of {} told again in {room_id}: {}",
            self.way,
            self.client.user_id,
            told.timeline
        );
        if told.is_limited
            && !repeats
            && let Some(from) = told.prev_batch.as_str()
        {
            self.fill(room_id, from).await;
        }
        for events in [told.before, told.timeline, told.after] {
            for event in events.as_array().into_iter().flatten() {
                if event["type"] == "m.room.topic" {
                    self.topics.insert(room_id.to_owned(), id(event));
                }
            }
        }
        let seen = self.seen.entry(room_id.to_owned()).or_default();
        seen.extend(events.iter().map(id));
        if told.is_left {
            self.rooms.remove(room_id);
        } else {
            self.rooms.insert(room_id.to_owned());
        }
        if let Some(event) = told.receipts {
            self.take_receipts(room_id, event);
        }
    }

    /// Pages back to what is known.
    async fn fill(&mut self, room_id: &str, from: &str) {
        let mut from = from.to_owned();
        loop {
            let what = format!("messages?dir=b&limit=100&from={}", encode(&from));
            let page = self.client.look(room_id, &what).await.ok();
            let seen = self.seen.entry(room_id.to_owned()).or_default();
            let mut has_met = false;
            for event in page["chunk"].as_array().into_iter().flatten() {
                has_met |= !seen.insert(id(event));
            }
            match page["end"].as_str() {
                Some(end) if !has_met => from = end.to_owned(),
                _ => return,
            }
        }
    }

    fn take_messages(&mut self, events: &Value) {
        let numbers = events.as_array().into_iter().flatten();
        let numbers = numbers.filter_map(|event| event["content"]["number"].as_u64());
        self.messages.extend(numbers);
    }

    fn take_receipts(&mut self, room_id: &str, event: &Value) {
        for (event_id, kinds) in event["content"].as_object().into_iter().flatten() {
            for user_id in kinds["m.read"]
                .as_object()
                .into_iter()
                .flat_map(|users| users.keys())
            {
                let key = (room_id.to_owned(), user_id.clone());
                self.receipts.insert(key, event_id.clone());
            }
        }
    }

    /// Syncs until everything has come.
    pub(super) async fn finish(&mut self, truth: &Truth) {
        let deadline = Instant::now() + Duration::from_secs(120);
        loop {
            self.sync(false).await;
            let missing = self.missing(truth);
            if missing.is_empty() {
                break;
            }
            let who = &self.client.user_id;
            assert!(
                Instant::now() < deadline,
                "{:?} of {who}: {missing:?}",
                self.way
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(self.messages, truth.messages, "{:?}", self.way);
    }

    fn missing(&self, truth: &Truth) -> Vec<String> {
        let mut missing = Vec::new();
        for (room_id, events) in &truth.events {
            let seen = self.seen.get(room_id);
            let lacks = |event: &&String| {
                !self.waived.contains(*event) && !seen.is_some_and(|seen| seen.contains(*event))
            };
            let lacking = events.iter().filter(lacks);
            missing.extend(lacking.map(|event| format!("event {event} in {room_id}")));
        }
        for (key, event_id) in &truth.receipts {
            if self.receipts.get(key) != Some(event_id) && !self.waived_receipts.contains(key) {
                missing.push(format!("receipt {key:?} at {event_id}"));
            }
        }
        for (room_id, event_id) in &truth.topics {
            if self.topics.get(room_id) != Some(event_id) {
                missing.push(format!("topic {event_id} of {room_id}"));
            }
        }
        if self.messages.len() < truth.messages.len() {
            missing.push(format!("messages, has {}", self.messages.len()));
        }
        missing
    }
}

fn id(event: &Value) -> String {
    event["event_id"].as_str().expect("an event ID").to_owned()
}

//! Who reads: by `/sync` or sliding sync, from token to token, to the end.

use std::{collections::HashMap, sync::Arc, time::Instant};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::{sync::watch, time};

use super::{AGAIN_AFTER, Goal, PATIENCE, TXN, ask, close, may_go_well, seen};
use crate::{
    cluster::checker::{History, Line, Op},
    harness::{Client, client::Answer, client::encode},
};

/// A request waits so long for news.
const POLL_MS: u64 = 5_000;

/// After so many answers an older token is brought once more.
const ELSEWHERE_EVERY: usize = 25;

/// How it reads.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Sync,
    Sliding,
}

pub(super) struct Reader {
    pub(super) client: Client,
    pub(super) history: Arc<History>,
    pub(super) kind: Kind,
    /// The rooms that it reads to the end.
    pub(super) rooms: Vec<String>,
    pub(super) goal: watch::Receiver<Option<Arc<Goal>>>,
}

/// How far it has come.
#[derive(Default)]
struct Progress {
    since: Option<String>,
    /// The token before that.
    earlier: Option<String>,
    /// Of sliding sync: the token for messages to devices.
    devices_since: Option<String>,
    /// The last event of each room.
    latest: HashMap<String, String>,
    answers: usize,
}

impl Reader {
    pub(super) async fn run(self) {
        let mut progress = Progress::default();
        let mut deadline = None;
        while !self.is_done(&progress, &mut deadline) {
            let (line, answer) = self
                .read(&progress, progress.since.as_deref(), POLL_MS)
                .await;
            if answer.as_ref().is_none_or(|answer| answer.status != 200) {
                if !may_go_well(answer.as_ref()) {
                    // The token is not good any more, which the history tells.
                    progress.since = None;
                }
                time::sleep(AGAIN_AFTER).await;
                continue;
            }
            if let Some(answer) = &answer {
                progress.advance(line, answer);
            }
            if let Some(earlier) = progress
                .to_bring_again()
                .filter(|_| self.kind == Kind::Sync)
            {
                self.read(&progress, Some(earlier), 0).await;
            }
        }
        // Of a room that it was never told of the history says nothing.
        for room in &self.rooms {
            let is_told = progress.latest.contains_key(room);
            assert!(is_told, "{} never saw {room}", self.client.user_id);
        }
    }

    /// Whether all is read, or has been waited for long enough.
    fn is_done(&self, progress: &Progress, deadline: &mut Option<Instant>) -> bool {
        let Some(goal) = self.goal.borrow().clone() else {
            return false;
        };
        let deadline = *deadline.get_or_insert_with(|| Instant::now() + PATIENCE);
        let mut rooms = self.rooms.iter();
        rooms.all(|room| progress.latest.get(room) == goal.get(room)) || Instant::now() > deadline
    }

    /// One request, which goes into the history.
    async fn read(
        &self,
        progress: &Progress,
        since: Option<&str>,
        timeout_ms: u64,
    ) -> (Line, Option<Answer>) {
        let mut line = Line::new(&self.client.user_id, Op::Sync, self.history.now_ns());
        line.since = since.map(ToOwned::to_owned);
        let token = |name: &str| {
            let token = since.map(|since| format!("&{name}={}", encode(since)));
            token.unwrap_or_default()
        };
        let answer = match self.kind {
            Kind::Sync => {
                let filter = json!({"room": {"timeline": {"limit": 50}}}).to_string();
                let path = format!(
                    "/_matrix/client/v3/sync?timeout={timeout_ms}&filter={}{}",
                    encode(&filter),
                    token("since")
                );
                ask(&self.client, Method::GET, &path, None).await
            }
            Kind::Sliding => {
                let path = format!(
                    "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync?timeout={timeout_ms}{}",
                    token("pos")
                );
                ask(&self.client, Method::POST, &path, Some(window(progress))).await
            }
        };
        close(&self.history, &mut line, answer.as_ref());
        if let Some(answer) = answer.as_ref().filter(|answer| answer.status == 200) {
            match self.kind {
                Kind::Sync => note_sync(&mut line, &answer.body),
                Kind::Sliding => note_window(&mut line, &answer.body),
            }
        }
        self.history.record(&line);
        (line, answer)
    }
}

impl Progress {
    /// Now and then an older token: by it everything since then must come once more.
    fn to_bring_again(&self) -> Option<&str> {
        let is_turn = self.answers.is_multiple_of(ELSEWHERE_EVERY);
        let is_older = is_turn && self.earlier != self.since;
        self.earlier.as_deref().filter(|_| is_older)
    }

    fn advance(&mut self, line: Line, answer: &Answer) {
        for event in line.events {
            self.latest.insert(event.room, event.id);
        }
        self.earlier = self.since.take();
        self.since = line.next;
        self.answers += 1;
        let devices = &answer.body["extensions"]["to_device"]["next_batch"];
        if let Some(token) = devices.as_str() {
            self.devices_since = Some(token.to_owned());
        }
    }
}

/// What sliding sync is asked for: all rooms at once, always.
fn window(progress: &Progress) -> Value {
    let mut devices = json!({"enabled": true, "limit": 100});
    if let Some(since) = &progress.devices_since {
        devices["since"] = json!(since);
    }
    json!({
        "conn_id": "load",
        "lists": {"all": {"ranges": [[0, 9_999]], "timeline_limit": 50, "required_state": []}},
        "extensions": {"to_device": devices},
    })
}

fn note_sync(line: &mut Line, body: &Value) {
    line.next = body["next_batch"].as_str().map(ToOwned::to_owned);
    for (room_id, room) in objects(&body["rooms"]["join"]) {
        let timeline = &room["timeline"];
        note_timeline(line, room_id, (&timeline["events"], &timeline["limited"]));
    }
    note_devices(line, &body["to_device"]["events"]);
}

fn note_window(line: &mut Line, body: &Value) {
    line.next = body["pos"].as_str().map(ToOwned::to_owned);
    for (room_id, room) in objects(&body["rooms"]) {
        note_timeline(line, room_id, (&room["timeline"], &room["limited"]));
    }
    note_devices(line, &body["extensions"]["to_device"]["events"]);
}

fn objects(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn note_timeline(line: &mut Line, room_id: &str, (events, limited): (&Value, &Value)) {
    let events = events.as_array().into_iter().flatten();
    line.events.extend(events.map(|event| seen(room_id, event)));
    if limited == true {
        line.limited.push(room_id.to_owned());
    }
}

fn note_devices(line: &mut Line, events: &Value) {
    let events = events.as_array().into_iter().flatten();
    let transactions = events.filter_map(|event| event["content"][TXN].as_str());
    line.to_device.extend(transactions.map(ToOwned::to_owned));
}

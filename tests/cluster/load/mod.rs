//! Many clients at once, and the history of what each of them was told.

mod reader;
mod writer;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{sync::watch, task::JoinSet, time};

use self::{
    reader::{Kind, Reader},
    writer::{Room, Writer},
};
use super::{
    checker::{self, History, Line, Loaded, Report, Rooms, Seen, write_rooms},
    figures::{Figures, Stalls},
};
use crate::harness::{
    Client,
    client::{Answer, encode},
};

/// Who gets no answer in this time takes the request for lost.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// What failed is tried again after this time.
const AGAIN_AFTER: Duration = Duration::from_millis(20);

/// Something is tried again for so long, and waited for so long.
const PATIENCE: Duration = Duration::from_secs(300);

const REGISTER: &str = "/_matrix/client/v3/register";
const LOGIN: &str = "/_matrix/client/v3/login";

/// So many accounts are made at once.
const ACCOUNTS_AT_ONCE: usize = 8;

/// Where the content of an event tells the transaction.
const TXN: &str = "playhouse.txn";

/// How many clients there are, and how fast.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// What the users' names begin with; every load of one server has another.
    pub(super) name: &'static str,
    /// Rooms.
    pub(super) rooms: usize,
    /// Who writes, each in several rooms.
    pub(super) writers: usize,
    /// Who reads by `/sync`.
    pub(super) readers: usize,
    /// Who reads by sliding sync.
    pub(super) sliders: usize,
    /// Between two messages of one writer.
    pub(super) pause: Duration,
}

/// The last event of each room, once nobody writes any more.
type Goal = HashMap<String, String>;

/// Clients at work.
pub(super) struct Load {
    folder: TempDir,
    history: Arc<History>,
    acked: Arc<AtomicUsize>,
    /// Each room with somebody who may read all of it.
    rooms: Vec<(String, Client)>,
    stop: watch::Sender<bool>,
    goal: watch::Sender<Option<Arc<Goal>>>,
    writers: JoinSet<()>,
    readers: JoinSet<()>,
}

/// What came of it.
pub(super) struct Outcome {
    /// What is wrong.
    pub(super) report: Report,
    /// How many requests there were, and which failed.
    pub(super) figures: Figures,
    /// How long rooms stood still.
    pub(super) stalls: Stalls,
    /// All that was told.
    pub(super) loaded: Loaded,
}

impl Load {
    /// Makes accounts and rooms, and begins. The base is a node's or a balancer's.
    pub(super) async fn begin(base: &str, plan: &Plan) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let history = History::create(&folder.path().join("history.jsonl"));
        let (stop, _) = watch::channel(false);
        let (goal, _) = watch::channel(None);
        let mut load = Self {
            folder,
            history: Arc::new(history.expect("a history can be begun")),
            acked: Arc::default(),
            rooms: Vec::new(),
            stop,
            goal,
            writers: JoinSet::new(),
            readers: JoinSet::new(),
        };
        let writers = accounts(base, plan, ("w", plan.writers)).await;
        let mut readers = accounts(base, plan, ("r", plan.readers)).await;
        readers.extend(accounts(base, plan, ("s", plan.sliders)).await);
        let made = join_all((0..plan.rooms).map(|room| {
            let (writers, readers) = (
                shares(room, plan.rooms, &writers),
                shares(room, plan.rooms, &readers),
            );
            async move { (make_room(&writers, &readers).await, writers, readers) }
        }));
        let mut rooms_of: HashMap<String, Vec<Room>> = HashMap::new();
        for (room_id, writers, readers) in made.await {
            load.rooms.push((room_id.clone(), writers[0].clone()));
            let listeners: Vec<_> = readers
                .iter()
                .map(|reader| reader.user_id.clone())
                .collect();
            for member in writers.iter().chain(&readers) {
                rooms_of
                    .entry(member.user_id.clone())
                    .or_default()
                    .push(Room {
                        id: room_id.clone(),
                        listeners: listeners.clone(),
                    });
            }
        }
        load.start_readers(plan, &readers, &mut rooms_of);
        load.start_writers(plan, &writers, &mut rooms_of);
        load
    }

    fn start_readers(
        &mut self,
        plan: &Plan,
        readers: &[Client],
        rooms_of: &mut HashMap<String, Vec<Room>>,
    ) {
        for (number, client) in readers.iter().enumerate() {
            let rooms = rooms_of.remove(&client.user_id).unwrap_or_default();
            let reader = Reader {
                client: client.clone(),
                history: self.history.clone(),
                kind: if number < plan.readers {
                    Kind::Sync
                } else {
                    Kind::Sliding
                },
                rooms: rooms.into_iter().map(|room| room.id).collect(),
                goal: self.goal.subscribe(),
            };
            self.readers.spawn(reader.run());
        }
    }

    fn start_writers(
        &mut self,
        plan: &Plan,
        writers: &[Client],
        rooms_of: &mut HashMap<String, Vec<Room>>,
    ) {
        for (number, client) in (0..).zip(writers) {
            let Some(rooms) = rooms_of.remove(&client.user_id) else {
                continue;
            };
            let writer = Writer {
                client: client.clone(),
                history: self.history.clone(),
                acked: self.acked.clone(),
                rooms,
                delay: plan.pause * number / (writers.len() as u32).max(1),
                pause: plan.pause,
                stop: self.stop.subscribe(),
            };
            self.writers.spawn(writer.run());
        }
    }

    /// How many events were acknowledged so far.
    pub(super) fn acked(&self) -> usize {
        self.acked.load(Ordering::Relaxed)
    }

    /// The time by which the history goes.
    pub(super) fn now_ns(&self) -> u64 {
        self.history.now_ns()
    }

    /// Waits until so many more events are acknowledged.
    pub(super) async fn until_acked(&self, more: usize) {
        let (wanted, deadline) = (self.acked() + more, Instant::now() + PATIENCE);
        while self.acked() < wanted {
            assert!(
                Instant::now() < deadline,
                "only {} were acknowledged",
                self.acked()
            );
            time::sleep(AGAIN_AFTER).await;
        }
    }

    /// Stops writing, lets readers read to the end, and checks what all were told.
    pub(super) async fn end(mut self) -> Outcome {
        self.stop.send_replace(true);
        finish(&mut self.writers).await;
        let (mut rooms, mut goal) = (Rooms::new(), Goal::new());
        for (room_id, member) in &self.rooms {
            let events = history(member, room_id).await;
            let events: Vec<_> = events.iter().map(|event| seen(room_id, event)).collect();
            if let Some(last) = events.last() {
                goal.insert(room_id.clone(), last.id.clone());
            }
            rooms.insert(room_id.clone(), events);
        }
        self.goal.send_replace(Some(Arc::new(goal)));
        finish(&mut self.readers).await;
        self.history.flush();
        let places = ["history.jsonl", "rooms.jsonl"].map(|name| self.folder.path().join(name));
        write_rooms(&places[1], &rooms).expect("the rooms can be written");
        let mut loaded = Loaded::default();
        loaded.read(&places[0]).expect("the history can be read");
        loaded
            .read_rooms(&places[1])
            .expect("the rooms can be read");
        let report = checker::check(&loaded);
        if !report.is_clean() {
            // For whoever looks for the reason.
            self.folder.disable_cleanup(true);
        }
        Outcome {
            report,
            figures: Figures::of(&loaded),
            stalls: Stalls::of(&loaded),
            loaded,
        }
    }
}

async fn finish(tasks: &mut JoinSet<()>) {
    while let Some(ended) = tasks.join_next().await {
        ended.expect("no client fails");
    }
}

async fn accounts(base: &str, plan: &Plan, (kind, count): (&str, usize)) -> Vec<Client> {
    let names: Vec<_> = (0..count)
        .map(|number| format!("{}-{kind}{number}", plan.name))
        .collect();
    let mut clients = Vec::new();
    for some in names.chunks(ACCOUNTS_AT_ONCE) {
        clients.extend(join_all(some.iter().map(|name| account(base, name))).await);
    }
    clients
}

/// Makes an account, whatever trouble there is.
pub(super) async fn account(base: &str, name: &str) -> Client {
    let client = Client::new(base);
    let wish =
        json!({"username": name, "password": "correct horse", "auth": {"type": "m.login.dummy"}});
    let mut answer = insist(&client, Method::POST, REGISTER, Some(&wish)).await;
    if answer.body["errcode"] == "M_USER_IN_USE" {
        // It was made, and the answer got lost.
        let wish = json!({
            "type": "m.login.password", "identifier": {"type": "m.id.user", "user": name}, "password": "correct horse"
        });
        answer = insist(&client, Method::POST, LOGIN, Some(&wish)).await;
    }
    client.with_session(&answer.ok())
}

/// Who is in a room: at least two of many, and everybody is somewhere.
fn shares(room: usize, rooms: usize, clients: &[Client]) -> Vec<Client> {
    let each = clients.len().div_ceil(rooms).max(2).min(clients.len());
    let numbers = (0..each).map(|number| (room * each + number) % clients.len());
    numbers.map(|number| clients[number].clone()).collect()
}

async fn make_room(writers: &[Client], readers: &[Client]) -> String {
    let wish = json!({
        "preset": "public_chat",
        // All writers set state.
        "power_level_content_override": {"state_default": 0},
    });
    let room_id = create_room(&writers[0], &wish).await;
    let path = format!("/_matrix/client/v3/join/{}", encode(&room_id));
    for member in writers[1..].iter().chain(readers) {
        insist(member, Method::POST, &path, Some(&json!({})))
            .await
            .ok();
    }
    room_id
}

/// Makes a room, whatever trouble there is.
pub(super) async fn create_room(client: &Client, wish: &Value) -> String {
    let path = "/_matrix/client/v3/createRoom";
    let answer = insist(client, Method::POST, path, Some(wish)).await.ok();
    answer["room_id"].as_str().expect("a room ID").to_owned()
}

/// A whole room's history, oldest first, whatever trouble there is.
pub(super) async fn history(client: &Client, room_id: &str) -> Vec<Value> {
    let (room, mut events, mut from) = (encode(room_id), Vec::new(), String::new());
    loop {
        let path = format!("/_matrix/client/v3/rooms/{room}/messages?dir=f&limit=1000{from}");
        let page = insist(client, Method::GET, &path, None).await.ok();
        events.extend(page["chunk"].as_array().expect("a chunk").iter().cloned());
        match page["end"].as_str() {
            Some(end) => from = format!("&from={}", encode(end)),
            None => return events,
        }
    }
}

/// Asks until there is no trouble: a node that was not let run for longer than its lease has lost its shards, and that is none of a test's concern.
async fn insist(client: &Client, method: Method, path: &str, body: Option<&Value>) -> Answer {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let asked = client.try_request(method.clone(), path, body.cloned());
        match asked.await {
            Ok(answer) if !may_go_well(Some(&answer)) => return answer,
            trouble => assert!(Instant::now() < deadline, "{path}: {trouble:?}"),
        }
        time::sleep(AGAIN_AFTER).await;
    }
}

/// Asks once: no answer when there is none in time, or not all of it.
async fn ask(client: &Client, method: Method, path: &str, body: Option<Value>) -> Option<Answer> {
    let asked = client.try_request(method, path, body);
    time::timeout(ANSWER_WITHIN, asked).await.ok()?.ok()
}

/// Whether what was not done may be done when it is asked for again: there was trouble, and no refusal.
fn may_go_well(answer: Option<&Answer>) -> bool {
    answer.is_none_or(|answer| answer.status >= 500 || answer.status == 429)
}

/// Notes how a request ended.
fn close(history: &History, line: &mut Line, answer: Option<&Answer>) {
    line.end_ns = history.now_ns();
    line.status = answer.map(|answer| answer.status);
}

/// An event as a reader is told it.
fn seen(room_id: &str, event: &Value) -> Seen {
    let content = &event["content"];
    let txn = match event["type"].as_str() {
        Some("m.room.redaction") => &content["reason"],
        _ => &content[TXN],
    };
    Seen {
        room: room_id.to_owned(),
        id: event["event_id"].as_str().unwrap_or_default().to_owned(),
        sender: event["sender"].as_str().unwrap_or_default().to_owned(),
        txn: txn.as_str().map(ToOwned::to_owned),
    }
}

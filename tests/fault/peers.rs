//! Nothing is lost between servers: one of two is killed, down or stopped at random moments while users of the other's rooms write.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::{
    client::props::{ids, list_or_none, next_batch, room_path},
    harness::{Client, TestServer, Town, client::encode, wish},
};

/// So many write, each by itself.
const WRITERS: usize = 3;

/// After so many rounds in one room the next one is made: what is compared at the end of a round stays small.
const ROUNDS_PER_ROOM: usize = 5;

/// All has arrived so long after everybody is back: generous, since many tests run at once.
const ARRIVED_WITHIN: Duration = Duration::from_secs(180);

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_between_servers() {
    let rounds: usize = wish("PLAYHOUSE_TEST_PEER_ROUNDS").unwrap_or(6);
    let mut stage = Stage::open().await;
    let mut waits = Vec::new();
    let mut counts = (0, 0);
    for round in 0..rounds {
        if round > 0 && round % ROUNDS_PER_ROOM == 0 {
            stage.move_on().await;
        }
        let written = stage.round(round).await;
        counts.0 += written.iter().map(|it| it.events.len()).sum::<usize>();
        counts.1 += written.iter().map(|it| it.messages.len()).sum::<usize>();
        waits.push(stage.check(round, &written).await);
    }
    tell(&counts, waits);
}

/// So much is said in a room while a server does not answer: more than what servers find out by asking for what they lack.
const MISSED: usize = 2_100;

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_stopped_for_a_while_has_all_of_a_busy_room() {
    let mut stage = Stage::open().await;
    let writing = stage.write(0);
    writing.came_to(WRITERS).await;
    stage.two.suspend();
    writing.came_to(MISSED).await;
    stage.two.resume();
    let written = writing.end().await;
    stage.check(0, &written).await;
}

#[expect(
    clippy::print_stdout,
    reason = "the figures belong into the test's output"
)]
fn tell((events, messages): &(usize, usize), mut waits: Vec<Duration>) {
    waits.sort();
    let rounds = waits.len();
    println!(
        "{rounds} rounds, {events} events and {messages} messages to devices, each there once and in order; \
         after everybody was back all was there in {:?} (median), {:?} (longest)",
        waits[rounds / 2],
        waits[rounds - 1]
    );
    assert!(*events > rounds * WRITERS && *messages > rounds * WRITERS);
}

/// What one writer was acknowledged, in order.
struct Written {
    events: Vec<String>,
    messages: Vec<String>,
}

struct Stage {
    one: TestServer,
    two: TestServer,
    /// Users of the first server.
    writers: Vec<Client>,
    /// The user of the second.
    reader: Client,
    room_id: String,
    since: String,
    _town: Town,
}

impl Stage {
    async fn open() -> Self {
        let town = Town::new(&["one.town", "two.town"]);
        let one = town.open("one.town", &[]).await;
        let two = town.open("two.town", &[]).await;
        let mut writers = Vec::new();
        for index in 0..WRITERS {
            writers.push(one.register(&format!("writer{index}")).await);
        }
        let reader = two.register("reader").await;
        let since = reader.now().await;
        let mut stage = Self {
            one,
            two,
            writers,
            reader,
            room_id: String::new(),
            since,
            _town: town,
        };
        stage.move_on().await;
        stage
    }

    /// A new room for all.
    async fn move_on(&mut self) {
        let writers: Vec<_> = self
            .writers
            .iter()
            .map(|it| it.at(self.one.base()))
            .collect();
        self.room_id = writers[0]
            .create_room(json!({"preset": "public_chat"}))
            .await;
        for writer in &writers[1..] {
            writer.join(&self.room_id).await;
        }
        self.reader = self.reader.at(self.two.base());
        let path = format!(
            "/_matrix/client/v3/join/{}?via=one.town",
            encode(&self.room_id)
        );
        self.reader.post(&path, json!({})).await.ok();
    }

    /// All write while something befalls one of the servers; when this ends, everybody is back and all is acknowledged.
    async fn round(&mut self, round: usize) -> Vec<Written> {
        let writing = self.write(round);
        writing.came_to(WRITERS).await;
        self.befall(round, &writing.base).await;
        writing.end().await
    }

    /// All begin to write.
    fn write(&self, round: usize) -> Writing {
        let base = Arc::new(Mutex::new(self.one.base().to_owned()));
        let stop = Arc::new(AtomicBool::new(false));
        let acked = Arc::new(AtomicUsize::new(0));
        let device = (self.reader.user_id.clone(), self.reader.device_id.clone());
        let tasks = self.writers.iter().enumerate().map(|(index, writer)| {
            let pen = Pen {
                writer: writer.clone(),
                base: base.clone(),
                stop: stop.clone(),
                acked: acked.clone(),
                room_id: self.room_id.clone(),
                device: device.clone(),
                name: format!("{round}-{index}"),
            };
            tokio::spawn(pen.write())
        });
        Writing {
            tasks: tasks.collect(),
            base: base.clone(),
            stop: stop.clone(),
            acked: acked.clone(),
        }
    }

    async fn befall(&mut self, round: usize, base: &Mutex<String>) {
        pause(100, 500).await;
        match round % 4 {
            0 => {
                self.one.kill();
                self.one.start_again();
            }
            1 => {
                self.two.kill();
                self.two.start_again();
            }
            2 => {
                // The receiver is away, and the sender dies and lives meanwhile.
                self.two.kill();
                pause(100, 800).await;
                self.one.kill();
                self.one.start_again();
                *base.lock() = self.one.base().to_owned();
                pause(100, 300).await;
                self.two.start_again();
            }
            _ => {
                self.two.suspend();
                pause(300, 1_500).await;
                self.two.resume();
            }
        }
        *base.lock() = self.one.base().to_owned();
        pause(50, 200).await;
    }

    /// Waits until all has arrived, and compares it with what was written; how long it took.
    async fn check(&mut self, round: usize, written: &[Written]) -> Duration {
        let started = Instant::now();
        self.reader = self.reader.at(self.two.base());
        for writer in written {
            let Some(last) = writer.events.last() else {
                continue;
            };
            let path = room_path(&self.room_id, &format!("event/{}", encode(last)));
            while self.reader.get(&path).await.status != 200 {
                assert!(
                    started.elapsed() < ARRIVED_WITHIN,
                    "round {round}: {last} never came"
                );
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        let wanted: usize = written.iter().map(|it| it.messages.len()).sum();
        let messages = self.messages(wanted, started).await;
        let waited = started.elapsed();
        let history = ids(&Value::Array(self.reader.history(&self.room_id).await));
        for (index, writer) in written.iter().enumerate() {
            let theirs = history.iter().filter(|id| writer.events.contains(id));
            let theirs: Vec<_> = theirs.cloned().collect();
            assert_eq!(
                theirs, writer.events,
                "round {round}: events of writer {index}"
            );
            let user_id = &self.writers[index].user_id;
            let got = messages.get(user_id).cloned().unwrap_or_default();
            assert_eq!(
                got, writer.messages,
                "round {round}: messages of writer {index}"
            );
        }
        waited
    }

    /// The messages to the reader's device since the last round, by their senders.
    async fn messages(&mut self, wanted: usize, started: Instant) -> BTreeMap<String, Vec<String>> {
        let mut by_sender: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut count = 0;
        loop {
            let answer = self.reader.sync(Some(&self.since), "timeout=300").await;
            self.since = next_batch(&answer);
            let events = list_or_none(&answer["to_device"]["events"]);
            for event in events.iter().filter(|it| it["type"] == "m.room.encrypted") {
                let [sender, name] = [&event["sender"], &event["content"]["name"]]
                    .map(|value| value.as_str().expect("a text").to_owned());
                by_sender.entry(sender).or_default().push(name);
                count += 1;
            }
            // One more look when all are there: nothing may come twice.
            let is_over = started.elapsed() > ARRIVED_WITHIN;
            if (count >= wanted && events.is_empty()) || is_over {
                return by_sender;
            }
        }
    }
}

/// All writers at work.
struct Writing {
    tasks: Vec<JoinHandle<Written>>,
    base: Arc<Mutex<String>>,
    stop: Arc<AtomicBool>,
    acked: Arc<AtomicUsize>,
}

impl Writing {
    /// Waits until more than so many events and messages are acknowledged.
    async fn came_to(&self, count: usize) {
        let deadline = Instant::now() + ARRIVED_WITHIN;
        while self.acked.load(Ordering::Relaxed) <= count {
            assert!(Instant::now() < deadline, "the writers hardly write");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// They finish what they are at.
    async fn end(self) -> Vec<Written> {
        self.stop.store(true, Ordering::Relaxed);
        let mut written = Vec::new();
        for task in self.tasks {
            written.push(task.await.expect("a writer ends"));
        }
        written
    }
}

async fn pause(least_ms: u64, most_ms: u64) {
    let chance = uuid::Uuid::now_v7().as_u128() as u64 % (most_ms - least_ms);
    tokio::time::sleep(Duration::from_millis(least_ms + chance)).await;
}

/// One writer's task.
struct Pen {
    writer: Client,
    base: Arc<Mutex<String>>,
    stop: Arc<AtomicBool>,
    /// So often an event and a message were acknowledged, of all writers.
    acked: Arc<AtomicUsize>,
    room_id: String,
    device: (String, String),
    name: String,
}

impl Pen {
    async fn write(self) -> Written {
        let mut written = Written {
            events: Vec::new(),
            messages: Vec::new(),
        };
        for number in 0.. {
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            let name = format!("{}-{number}", self.name);
            let path = room_path(&self.room_id, &format!("send/m.room.message/{name}"));
            let body = json!({"msgtype": "m.text", "body": name});
            let told = self.put(&path, body).await;
            let event_id = told["event_id"].as_str().expect("an event ID");
            written.events.push(event_id.to_owned());
            let path = format!("/_matrix/client/v3/sendToDevice/m.room.encrypted/{name}");
            let (user_id, device_id) = &self.device;
            let body = json!({"messages": {user_id: {device_id: {"name": name}}}});
            self.put(&path, body).await;
            written.messages.push(name);
            self.acked.fetch_add(1, Ordering::Relaxed);
        }
        written
    }

    /// As clients do: again and again under the same name until it is acknowledged.
    async fn put(&self, path: &str, body: Value) -> Value {
        let started = Instant::now();
        loop {
            let writer = self.writer.at(&self.base.lock().clone());
            let told = writer
                .try_request(Method::PUT, path, Some(body.clone()))
                .await;
            match told {
                Ok(answer) if answer.status < 500 => return answer.ok(),
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
            assert!(
                started.elapsed() < ARRIVED_WITHIN,
                "{path} is never acknowledged"
            );
        }
    }
}

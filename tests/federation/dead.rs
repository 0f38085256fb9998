//! Destinations that are dead cost next to nothing and never delay the living.
//!
//! How so many servers get into a room: one played server makes the room, signs its events in the names of all the others, hands it to our user's join, and
//! gives, as a notary, the keys of those others. So the dead are dead from the beginning.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::{
    Client, Options, Peers, TestServer,
    client::encode,
    database::free_port,
    made::PlayedRoom,
    peer::{public_keys, signed},
    script::{Asked, Reply},
    wish,
};

/// The server that makes the room, and the notary.
const MAKER: &str = "maker.test";

/// So many messages are measured.
const MESSAGES: usize = 50;

/// All of them have arrived so long after: generous, since many tests run at once.
const ARRIVED_WITHIN: Duration = Duration::from_secs(180);

/// So is the join; in an unoptimised build thousands of members take their time.
const JOINED_WITHIN: Duration = Duration::from_secs(600);

/// When which living server was brought what.
type Arrivals = Arc<Mutex<BTreeMap<(String, String), Instant>>>;

#[tokio::test(flavor = "multi_thread")]
async fn the_dead_do_not_delay_the_living() {
    let dead = wish("PLAYHOUSE_TEST_DEAD").unwrap_or(200);
    let living = wish("PLAYHOUSE_TEST_LIVING").unwrap_or(5);
    let stage = Stage::open(dead, living).await;
    let anna = stage.server.register("anna").await;
    let begun = Instant::now();
    let room_id = &stage.room_id;
    join(&anna, room_id).await;
    let joined = begun.elapsed();
    let members = format!(
        "/_matrix/client/v3/rooms/{}/joined_members",
        encode(room_id)
    );
    let members = anna.get(&members).await.ok();
    let members = members["joined"].as_object().map(serde_json::Map::len);
    assert_eq!(
        members,
        Some(dead + living + 2),
        "all others are in the room"
    );
    let begun = Instant::now();
    anna.say(room_id, "first").await;
    stage.arrived("first").await;
    let first = begun.elapsed();
    let (cpu, held) = (stage.server.cpu_time(), stage.server.resident_bytes());
    let begun = Instant::now();
    let mut said = Vec::new();
    for number in 0..MESSAGES {
        let text = format!("message {number}");
        let at = Instant::now();
        anna.say(room_id, &text).await;
        said.push((text, at));
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
    for (text, _) in &said {
        stage.arrived(text).await;
    }
    let waits = stage.waits(&said);
    assert_eq!(waits.len(), MESSAGES * living);
    let figures = Figures {
        counts: (dead, living),
        joined,
        first,
        waits,
        cpu: stage.server.cpu_time() - cpu,
        wall: begun.elapsed(),
        held: (held, stage.server.resident_bytes()),
    };
    figures.tell();
}

/// Joins, however long it takes: who asks again waits for the same journey.
async fn join(anna: &Client, room_id: &str) {
    let path = format!("/_matrix/client/v3/join/{}?via={MAKER}", encode(room_id));
    let started = Instant::now();
    loop {
        let joined = anna.try_request(Method::POST, &path, Some(json!({}))).await;
        if let Ok(answer) = joined {
            answer.ok();
            return;
        }
        assert!(started.elapsed() < JOINED_WITHIN, "the join never ends");
    }
}

struct Figures {
    counts: (usize, usize),
    joined: Duration,
    first: Duration,
    /// Sorted.
    waits: Vec<Duration>,
    cpu: Duration,
    wall: Duration,
    held: (u64, u64),
}

impl Figures {
    #[expect(
        clippy::print_stdout,
        reason = "the figures belong into the test's output"
    )]
    fn tell(&self) {
        let (dead, living) = self.counts;
        let part = |percent: usize| self.waits[(self.waits.len() - 1) * percent / 100];
        println!(
            "{dead} dead and {living} living destinations: joined after {:?}, first message with all the living after {:?}",
            self.joined, self.first
        );
        println!(
            "{MESSAGES} messages to each: {:?} (median), {:?} (p99), {:?} (longest); {:?} of CPU in {:?}; {} MiB before, {} MiB after",
            part(50),
            part(99),
            part(100),
            self.cpu,
            self.wall,
            self.held.0 >> 20,
            self.held.1 >> 20
        );
    }
}

struct Stage {
    server: TestServer,
    room_id: String,
    living: BTreeSet<String>,
    arrivals: Arrivals,
    _peers: Peers,
}

impl Stage {
    async fn open(dead: usize, living: usize) -> Self {
        let living: BTreeSet<_> = (0..living).map(|it| format!("living{it}.test")).collect();
        let mut names = vec![MAKER];
        names.extend(living.iter().map(String::as_str));
        let peers = Peers::start(&names).await;
        // At the first nobody listens, and no other test is given it.
        let places = [free_port(), silent().await];
        let dead: Vec<_> = (0..dead).map(|it| format!("d{it}.dead")).collect();
        let mut users = vec![format!("@maker:{MAKER}")];
        users.extend(
            living
                .iter()
                .chain(&dead)
                .map(|name| format!("@user:{name}")),
        );
        let room = PlayedRoom::new("crowd", &users);
        let room_id = room.room_id.clone();
        let arrivals = Arrivals::default();
        let noted = arrivals.clone();
        peers.follow(move |asked| play(&room, &noted, asked));
        let mut environment = peers.environment();
        for (name, value) in &mut environment {
            if name == "PLAYHOUSE_FEDERATION_OVERRIDES" {
                for (index, dead) in dead.iter().enumerate() {
                    value.push_str(&format!(",{dead}=127.0.0.1:{}", places[index % 2]));
                }
            }
        }
        let notary = ("PLAYHOUSE_FEDERATION_NOTARIES".to_owned(), MAKER.to_owned());
        environment.push(notary);
        let server = TestServer::start_with(Options {
            environment,
            ..Options::default()
        })
        .await;
        Self {
            server,
            room_id,
            living,
            arrivals,
            _peers: peers,
        }
    }

    /// Waits until all the living were brought a message.
    async fn arrived(&self, text: &str) {
        let started = Instant::now();
        let has = |name: &String| {
            let key = (name.clone(), text.to_owned());
            self.arrivals.lock().contains_key(&key)
        };
        while !self.living.iter().all(has) {
            assert!(
                started.elapsed() < ARRIVED_WITHIN,
                "{text} never came to all"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// How long each message took to each of the living, sorted.
    fn waits(&self, said: &[(String, Instant)]) -> Vec<Duration> {
        let arrivals = self.arrivals.lock();
        let mut waits = Vec::new();
        for (text, at) in said {
            let came = arrivals.iter().filter(|((_, body), _)| body == text);
            waits.extend(came.map(|(_, when)| *when - *at));
        }
        waits.sort();
        waits
    }
}

/// What the living and the maker of the room answer.
fn play(room: &PlayedRoom, arrivals: &Arrivals, asked: &Asked<'_>) -> Option<Reply> {
    if asked.path.starts_with("/_matrix/federation/v1/send/") && asked.name != MAKER {
        let now = Instant::now();
        for event in asked.body["pdus"].as_array().into_iter().flatten() {
            if let Some(text) = event["content"]["body"].as_str() {
                let key = (asked.name.to_owned(), text.to_owned());
                arrivals.lock().entry(key).or_insert(now);
            }
        }
        return Some(Reply::Json(200, json!({"pdus": {}})));
    }
    if asked.path == "/_matrix/key/v2/query" {
        return Some(Reply::Json(200, vouched(asked.body)));
    }
    (asked.name == MAKER).then(|| room.reply(asked)).flatten()
}

/// A notary's answer.
fn vouched(question: &Value) -> Value {
    let names = question["server_keys"].as_object().into_iter().flatten();
    let keys = names.map(|(name, _)| {
        let keys = serde_json::to_value(public_keys(name)).expect("JSON");
        signed(MAKER, keys)
    });
    json!({"server_keys": keys.collect::<Vec<_>>()})
}

/// A port at which connections are taken and nothing is ever answered.
async fn silent() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        let mut held: Vec<TcpStream> = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
        }
    });
    port
}

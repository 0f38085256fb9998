//! What is purged is gone: the server is killed again and again while history is taken out of a room and while the room is deleted, and at the end no file
//! has a word of
//! it, and its space is free.
//!
//! `PLAYHOUSE_TEST_PURGE_KILLS` asks for more kills than a few (100 take some minutes), and that all of them come before the end: `PLAYHOUSE_TEST_PURGE_EVENTS`
//! must be enough for that (14,000 for 100). Pictures become more with events.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Client, Database, Options, TestServer, administrator, client::encode, wish};

/// Stands in every message and in every picture.
const SAID: &str = "a word that nobody must find";

/// A word as nobody else uses it stands in every message: what cuts texts into words must not have kept it either. Begins as no other does, since an index may
/// leave out the beginning that a word shares with its neighbour.
const RARE: &str = "qwyzzblorf";

/// Stands in the name and the topic of the room.
const NAMED: &str = "the name of the dark corner";

/// Is said in another room.
const KEPT: &str = "a word that stays";

/// So many to a thousand events, and no fewer.
const PICTURES: usize = 24;
const PICTURE_BYTES: usize = 400_000;

/// So much of what the room has taken is free at the end.
const RETURNED: f64 = 0.95;

const RATE: &str = "PLAYHOUSE_RETENTION_ERASURES_PER_SECOND";

/// What is left is done as fast as can be, and cut short so often more: also what comes after the last record may be.
const LAST_KILLS: usize = 3;

/// The index of a server that has much to do is behind for less.
const INDEXED_WITHIN: Duration = Duration::from_secs(120);

/// What is waited for comes in less.
const LOOKS: usize = 4_800;

/// All databases are closed by a stop within this time, or by one of the next.
const CLOSED_WITHIN: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_on_sqlite() {
    let wished: Option<usize> = wish("PLAYHOUSE_TEST_PURGE_KILLS");
    let events = wish("PLAYHOUSE_TEST_PURGE_EVENTS").unwrap_or(1_000);
    let in_time = purge(Options::default(), wished.unwrap_or(6), events).await;
    // Whoever wishes for nothing has a machine of which nothing is known.
    assert!(
        wished.is_none_or(|wished| in_time == wished),
        "only {in_time} kills came before the end: it takes more events"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_on_postgres() {
    let options = Options {
        database: Some(Database::create()),
        ..Options::default()
    };
    purge(options, 2, 400).await;
}

/// The stage on which a room is made and purged.
struct Stage {
    server: TestServer,
    boss: Client,
    anna: Client,
    bert: Client,
    room_id: String,
    other: String,
    pictures: usize,
    /// So many starts found noted how far it had come.
    resumed: usize,
}

impl Stage {
    async fn open(options: Options) -> Self {
        let server = TestServer::start_exactly(options);
        let boss = administrator(&server.client(), "boss").await;
        let [anna, bert] = [server.register("anna").await, server.register("bert").await];
        let other = anna.create_room(json!({})).await;
        anna.say(&other, KEPT).await;
        Self {
            server,
            boss,
            anna,
            bert,
            room_id: String::new(),
            other,
            pictures: 0,
            resumed: 0,
        }
    }

    fn at_new_place(&mut self) {
        let base = self.server.base().to_owned();
        for client in [&mut self.boss, &mut self.anna, &mut self.bert] {
            *client = client.at(&base);
        }
    }

    /// The bytes of all files, while nobody runs whose files are longer than what is in them.
    fn disk(&mut self) -> u64 {
        let deadline = Instant::now() + CLOSED_WITHIN;
        loop {
            self.server.stop();
            let found = files(&self.server.data());
            self.server.start_again();
            self.at_new_place();
            // A process that ends before the last of its threads has closed a database leaves its write-ahead log to the next one.
            let is_open = |(path, bytes): &(String, u64)| path.ends_with("-wal") && *bytes > 0;
            if !found.iter().any(is_open) {
                return found.iter().map(|(_, bytes)| bytes).sum();
            }
            assert!(Instant::now() < deadline, "a write-ahead log stays");
        }
    }

    /// Everybody talks, and shows pictures.
    async fn fill(&mut self, events: usize) {
        let wish =
            json!({"preset": "public_chat", "name": NAMED, "topic": format!("topic: {NAMED}")});
        self.room_id = self.anna.create_room(wish).await;
        self.bert.join(&self.room_id).await;
        let talk = async |speaker: &Client| {
            for line in 0..events / 2 {
                let body = format!("{line}: {SAID}. {RARE} {}", filler(line));
                speaker.say(&self.room_id, &body).await;
            }
        };
        tokio::join!(talk(&self.anna), talk(&self.bert));
        self.pictures = PICTURES.max(events * PICTURES / 1_000);
        for number in 0..self.pictures {
            let mut bytes = format!("{number} {SAID} ").into_bytes();
            bytes.resize(PICTURE_BYTES, number as u8);
            let headers = [("content-type", "image/png")];
            let path = "/_matrix/media/v3/upload?filename=dark.png";
            let uploaded = self.anna.with_headers(Method::POST, path, &headers, bytes);
            let uri = uploaded.await.ok()["content_uri"].clone();
            let content = json!({"msgtype": "m.image", "body": SAID, "url": uri});
            let path = format!(
                "/_matrix/client/v3/rooms/{}/send/m.room.message/picture{number}",
                encode(&self.room_id)
            );
            self.anna.put(&path, content).await.ok();
        }
        // Whoever searches has the words indexed.
        let search = json!({"search_categories": {"room_events": {"search_term": "nobody"}}});
        let path = "/_matrix/client/v3/search";
        let deadline = Instant::now() + INDEXED_WITHIN;
        loop {
            let found = self.anna.post(path, search.clone()).await.ok();
            let count = &found["search_categories"]["room_events"]["count"];
            if count.as_u64() > Some(0) {
                break;
            }
            assert!(Instant::now() < deadline, "{found}");
        }
        // The newest event of a room is never purged.
        self.bert.say(&self.room_id, "the last word").await;
    }

    async fn delete_media(&self) {
        let path = format!("/_synapse/admin/v1/room/{}/media", encode(&self.room_id));
        let listed = self.boss.get(&path).await.ok();
        let uris = listed["local"].as_array().expect("a list");
        assert_eq!(uris.len(), self.pictures);
        for uri in uris {
            let name = uri
                .as_str()
                .expect("an address")
                .trim_start_matches("mxc://");
            let path = format!("/_synapse/admin/v1/media/{name}");
            self.boss.delete(&path).await.ok();
        }
    }

    /// From now on so much is erased in a second.
    fn go_on_at(&mut self, rate: usize) {
        self.server.set(RATE, &rate.to_string());
        self.server.restart();
        self.at_new_place();
    }

    /// Kills the server at a moment nobody knows.
    async fn strike(&mut self) {
        let moment = uuid::Uuid::now_v7().as_u128() as u64 % 250;
        tokio::time::sleep(Duration::from_millis(moment)).await;
        self.server.kill();
        self.server.start_again();
        self.at_new_place();
    }

    /// Kills the server so often while something is being done, and some times more. Tells how often it was not done yet.
    async fn kill(&mut self, kills: usize, status: &str) -> usize {
        let (mut in_time, mut come) = (0, 0);
        while in_time < kills {
            self.strike().await;
            let told = self.boss.get(status).await.ok();
            if told["status"] != "active" {
                break;
            }
            let done = told["progress"]["records_done"].as_u64().unwrap_or(come);
            assert!(done >= come, "it has gone back: {told}");
            self.resumed += usize::from(done > 0);
            come = done;
            in_time += 1;
        }
        self.server.set(RATE, "100000");
        for _ in 0..LAST_KILLS {
            self.strike().await;
        }
        in_time
    }

    async fn done(&self, status: &str) {
        for _ in 0..LOOKS {
            let told = self.boss.get(status).await.ok();
            if told["status"] != "active" {
                assert_eq!(told["status"], "complete", "{told}");
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("it does not come to its end");
    }

    /// The files and the tables in which a text stands.
    fn found(&self, text: &str) -> Vec<String> {
        let files = files(&self.server.data()).into_iter();
        let holding = files.filter(|(path, _)| {
            let bytes = fs::read(path).unwrap_or_default();
            holds(&bytes, text.as_bytes())
        });
        let dsn = self.server.database();
        let tables = dsn.map(|dsn| tables(dsn.to_owned(), text.to_owned()));
        let tables = tables.into_iter().flatten();
        holding.map(|(path, _)| path).chain(tables).collect()
    }
}

/// All files below a folder, with their sizes.
fn files(folder: &Path) -> Vec<(String, u64)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let bytes = entry.metadata().map_or(0, |metadata| metadata.len());
            found.push((path.display().to_string(), bytes));
        }
    }
    found
}

/// The tables in which a text stands, as such or as bytes. What PostgreSQL keeps in its files beyond that is its own affair.
fn tables(dsn: String, text: String) -> Vec<String> {
    let looking = std::thread::spawn(move || {
        let client = postgres::Client::connect(&dsn, postgres::NoTls);
        let mut client = client.expect("PostgreSQL answers");
        let all = "SELECT tablename::text FROM pg_tables WHERE schemaname = current_schema()";
        let all = client.query(all, &[]).expect("tables");
        let digits = text.bytes().map(|byte| format!("{byte:02x}"));
        let bytes = format!("%{}%", digits.collect::<String>());
        let text = format!("%{text}%");
        let mut found = Vec::new();
        for table in all.iter().map(|row| row.get::<_, String>(0)) {
            let count = format!(
                "SELECT count(*) FROM \"{table}\" one WHERE one::text LIKE $1 OR one::text LIKE $2"
            );
            let row = client.query_one(&count, &[&text, &bytes]);
            if row.expect("a count").get::<_, i64>(0) > 0 {
                found.push(table);
            }
        }
        found
    });
    looking.join().expect("it was looked for")
}

fn holds(bytes: &[u8], text: &[u8]) -> bool {
    let Some(first) = text.first() else {
        return false;
    };
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| byte == first) {
        if rest[at..].starts_with(text) {
            return true;
        }
        rest = &rest[at + 1..];
    }
    false
}

/// Words as people write them, as many as a longer message has.
fn filler(line: usize) -> String {
    let words = [
        "when", "shall", "we", "three", "meet", "again", "in", "thunder",
    ];
    let words = (0..120).map(|number| words[(line * 7 + number * number) % words.len()]);
    words.collect::<Vec<_>>().join(" ")
}

/// Tells how many of the kills came before the end.
async fn purge(options: Options, kills: usize, events: usize) -> usize {
    let mut stage = Stage::open(options).await;
    let before = stage.disk();
    stage.fill(events).await;
    let full = stage.disk();
    for text in [SAID, RARE, NAMED] {
        assert!(!stage.found(text).is_empty(), "nobody finds {text}");
    }
    stage.delete_media().await;
    // Slow enough that it is killed in the midst of it: what is done at once, some hundred records, is followed by a pause longer than the time until the next.
    let rate = (events * 2 / kills.max(1)).max(50);
    stage.go_on_at(rate);
    let path = format!(
        "/_synapse/admin/v1/purge_history/{}",
        encode(&stage.room_id)
    );
    let all = json!({"purge_up_to_ts": 99_999_999_999_999_u64, "delete_local_events": true});
    let begun = stage.boss.post(&path, all).await.ok();
    let status = format!(
        "/_synapse/admin/v1/purge_history_status/{}",
        name(&begun["purge_id"])
    );
    let mut in_time = stage.kill(kills / 2, &status).await;
    stage.done(&status).await;
    for text in [SAID, &RARE[1..]] {
        assert_eq!(stage.found(text), Vec::<String>::new(), "after the purge");
    }
    stage.go_on_at(rate);
    let path = format!("/_synapse/admin/v2/rooms/{}", encode(&stage.room_id));
    let wish = Some(json!({"purge": true, "force_purge": true}));
    let begun = stage.boss.request(Method::DELETE, &path, wish).await.ok();
    let status = format!(
        "/_synapse/admin/v2/rooms/delete_status/{}",
        name(&begun["delete_id"])
    );
    in_time += stage.kill(kills - kills / 2, &status).await;
    stage.done(&status).await;
    for text in [SAID, &RARE[1..], NAMED] {
        assert_eq!(stage.found(text), Vec::<String>::new(), "{text}");
    }
    let after = stage.disk();
    for text in [SAID, &RARE[1..], NAMED] {
        assert_eq!(stage.found(text), Vec::<String>::new(), "{text}");
    }
    let kept = stage.anna.history(&stage.other).await;
    assert!(kept.iter().any(|event| event["content"]["body"] == KEPT));
    tell_figures(&stage, [before, full, after], (events, kills, in_time));
    stage.server.stop();
    let (whole, text) = stage.server.command_line(&["log", "verify"]);
    assert!(whole, "{text}");
    let (done, text) = stage.server.command_line(&["log", "compact"]);
    assert!(done, "{text}");
    tell_compacted(&stage, full - before, before);
    in_time
}

/// What is left when the files were made as small as they can be.
#[expect(
    clippy::print_stdout,
    reason = "the figures belong into the test's output"
)]
fn tell_compacted(stage: &Stage, taken: u64, before: u64) {
    if stage.server.database().is_some() {
        return;
    }
    let pictures = (stage.pictures * PICTURE_BYTES) as u64;
    let left: u64 = files(&stage.server.data())
        .iter()
        .map(|(_, bytes)| bytes)
        .sum();
    println!(
        "of {taken} bytes, of which pictures were {pictures}, {} are left after `log compact`",
        left.saturating_sub(before)
    );
}

fn name(value: &Value) -> &str {
    value.as_str().expect("a name")
}

#[expect(
    clippy::print_stdout,
    reason = "the figures belong into the test's output"
)]
fn tell_figures(
    stage: &Stage,
    [before, full, after]: [u64; 3],
    (events, kills, in_time): (usize, usize, usize),
) {
    println!(
        "{kills} kills were wished, {in_time} came before the end, and {} starts went on from where that was noted; {} more came last",
        stage.resumed,
        2 * LAST_KILLS
    );
    if stage.server.database().is_some() {
        return;
    }
    let looked_at = files(&stage.server.data()).len();
    println!(
        "in none of all {looked_at} files is a word of it, while the server runs and after it"
    );
    let pictures = (stage.pictures * PICTURE_BYTES) as u64;
    let share = |taken: u64| {
        let left = after.saturating_sub(before) as f64;
        1.0 - left / taken as f64
    };
    let (all, text) = (share(full - before), share(full - before - pictures));
    println!(
        "{events} messages and {} pictures took {} bytes, of which {} are left: {:.1} % are free; without the pictures {:.1} %",
        stage.pictures,
        full - before,
        after.saturating_sub(before),
        all * 100.0,
        text * 100.0
    );
    assert!(all >= RETURNED, "only {all} of the space is free");
}

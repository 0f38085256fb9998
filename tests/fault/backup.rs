//! A backup is made while everybody writes. A house that begins anew from it at a moment is as it was then, gives out no one-time key that may have been
//! given out, and
//! hears from the other servers what it has lost.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant, UNIX_EPOCH},
};

use reqwest::Method;
use serde_json::{Map, Value, json};
use tokio::task::JoinHandle;

use super::log::{crawl, populate};
use crate::{
    client::retention::is_stored,
    harness::{Client, Database, Options, TestServer, Town, client::encode, only_alone, wish},
};

const UPLOAD: &str = "/_matrix/client/v3/keys/upload";
const CLAIM: &str = "/_matrix/client/v3/keys/claim";

/// What is said, and redacted after the moment.
const SECRET: &str = "what carl wishes unsaid";

/// Everything that was lost is back in less.
const BACK_WITHIN: Duration = Duration::from_secs(180);

/// And in less than this where `PLAYHOUSE_TEST_LOST_EVENTS` says how much was lost: whoever wishes for that has a machine that does nothing else.
const BACK_SOON: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn a_house_begins_anew_on_sqlite() {
    if !only_alone("its database is a folder") {
        begin_anew(Options::default()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_house_begins_anew_on_postgres() {
    if !only_alone("the nodes would need a new database each time") {
        let database = Some(Database::create());
        begin_anew(Options {
            database,
            ..Options::default()
        })
        .await;
    }
}

fn now_ms() -> u64 {
    let since = UNIX_EPOCH.elapsed().expect("it is later than 1970");
    since.as_millis() as u64
}

/// Makes an empty place where the database was.
fn clear(server: &mut TestServer) {
    if server.database().is_some() {
        server.use_database(Some(Database::create()));
        return;
    }
    for entry in fs::read_dir(server.data()).expect("a folder").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name == "log" {
            fs::remove_dir_all(entry.path()).expect("it can be removed");
        } else if name.starts_with("snapshots.db") || name.starts_with("models.db") {
            fs::remove_file(entry.path()).expect("it can be removed");
        }
    }
}

/// Everybody writes until told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    count: Arc<AtomicUsize>,
    tasks: Vec<JoinHandle<()>>,
}

impl Load {
    async fn begin(writers: &[&Client]) -> Self {
        let mut load = Self {
            stop: Arc::default(),
            count: Arc::default(),
            tasks: Vec::new(),
        };
        for writer in writers {
            let rooms = writer.get("/_matrix/client/v3/joined_rooms").await.ok();
            for room_id in rooms["joined_rooms"].as_array().into_iter().flatten() {
                let room_id = encode(room_id.as_str().expect("a room ID"));
                let (stop, count) = (load.stop.clone(), load.count.clone());
                let writer = Client::clone(writer);
                load.tasks.push(tokio::spawn(async move {
                    while !stop.load(Ordering::Relaxed) {
                        let transaction = uuid::Uuid::now_v7();
                        let path = format!(
                            "/_matrix/client/v3/rooms/{room_id}/send/m.room.message/{transaction}"
                        );
                        let body = json!({"msgtype": "m.text", "body": "later"});
                        let sent = writer.request(Method::PUT, &path, Some(body)).await;
                        count.fetch_add(usize::from(sent.status == 200), Ordering::Relaxed);
                    }
                }));
            }
        }
        load
    }

    /// Waits until somebody has written.
    async fn has_begun(&self) {
        let deadline = Instant::now() + BACK_WITHIN;
        while self.count() == 0 {
            assert!(Instant::now() < deadline, "nobody writes");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    async fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.expect("a writer ends");
        }
    }
}

async fn publish(owner: &Client, ids: std::ops::Range<usize>) {
    let keys: Map<_, _> = ids
        .map(|id| {
            let name = format!("signed_curve25519:{id:06}");
            (name, json!({"key": id.to_string()}))
        })
        .collect();
    let body = json!({"one_time_keys": keys});
    owner.post(UPLOAD, body).await.ok();
}

async fn claim(asker: &Client, owner: &Client) -> Option<String> {
    let wish = json!({"one_time_keys": {&owner.user_id: {&owner.device_id: "signed_curve25519"}}});
    let answer = asker.post(CLAIM, wish).await.ok();
    let given = answer["one_time_keys"][&owner.user_id][&owner.device_id].as_object()?;
    given.keys().next().cloned()
}

/// What a client sees, without where it stands in the log: that is another one now.
async fn seen(client: &Client, server: &TestServer) -> Vec<(String, Value)> {
    let mut seen = crawl(client, server).await;
    for (_, answer) in &mut seen {
        strip(answer);
    }
    seen
}

fn strip(value: &mut Value) {
    match value {
        Value::Object(object) => {
            object.remove("prev_batch");
            object.values_mut().for_each(strip);
        }
        Value::Array(list) => list.iter_mut().for_each(strip),
        _ => {}
    }
}

/// Who plays, and what happened until the moment and after it.
struct Stage {
    server: TestServer,
    anna: Client,
    bert: Client,
    /// A device of Bert's that logs out after the moment.
    stolen: Client,
    before: Vec<Vec<(String, Value)>>,
    moment: u64,
    claimed: BTreeSet<String>,
    /// Where Anna stands at the end of the life that is lost.
    late: String,
    folder: tempfile::TempDir,
}

impl Stage {
    async fn play(options: Options) -> Self {
        let server = TestServer::start_with(options).await;
        let (anna, bert) = populate(&server).await;
        let carl = server.register("carl").await;
        let room_id = carl.create_room(json!({})).await;
        let secret = carl.say(&room_id, SECRET).await;
        let stolen = bert.login_again().await;
        publish(&anna, 0..50).await;
        let mut claimed = BTreeSet::new();
        for _ in 0..5 {
            claimed.extend(claim(&bert, &anna).await);
        }
        let before = vec![seen(&anna, &server).await, seen(&bert, &server).await];
        let moment = now_ms();
        tokio::time::sleep(Duration::from_millis(50)).await;
        let load = Load::begin(&[&anna, &bert]).await;
        let redact = format!(
            "/_matrix/client/v3/rooms/{}/redact/{}/r",
            encode(&room_id),
            encode(&secret)
        );
        carl.put(&redact, json!({})).await.ok();
        stolen
            .post("/_matrix/client/v3/logout", json!({}))
            .await
            .ok();
        for _ in 0..10 {
            claimed.extend(claim(&bert, &anna).await);
        }
        let folder = tempfile::tempdir().expect("a folder");
        load.has_begun().await;
        back_up(&server, &folder.path().join("backup"), &load);
        // Of these the backup knows nothing.
        for _ in 0..5 {
            claimed.extend(claim(&bert, &anna).await);
        }
        let late = anna.sync(None, "").await["next_batch"].clone();
        load.end().await;
        Self {
            server,
            anna,
            bert,
            stolen,
            before,
            moment,
            claimed,
            late: late.as_str().expect("a token").to_owned(),
            folder,
        }
    }

    /// Begins anew at the moment.
    fn restore(&mut self) {
        let folder = self.folder.path().join("backup");
        let folder = folder.to_str().expect("a path");
        self.server.stop();
        clear(&mut self.server);
        for (to, said) in [
            ("4102444800000", "the backup is whole until"),
            ("then", "is no moment"),
        ] {
            let refused = self.server.command_line(&["restore", folder, "--to", to]);
            assert!(!refused.0 && refused.1.contains(said), "{}", refused.1);
        }
        let moment = self.moment.to_string();
        let restore = ["restore", folder, "--to", &moment];
        let (done, text) = self.server.command_line(&restore);
        assert!(done, "{text}");
        tell(&text);
        let (again, text) = self.server.command_line(&restore);
        assert!(
            !again && text.contains("where the copy should go"),
            "{text}"
        );
        let (whole, text) = self.server.command_line(&["log", "verify"]);
        assert!(whole, "{text}");
        self.server.start_again();
        self.anna = self.anna.at(self.server.base());
        self.bert = self.bert.at(self.server.base());
        self.stolen = self.stolen.at(self.server.base());
    }
}

#[expect(
    clippy::print_stdout,
    reason = "the figures belong into the test's output"
)]
fn tell(text: &str) {
    println!("{}", text.trim());
}

/// Backs up while the others write.
fn back_up(server: &TestServer, folder: &Path, load: &Load) {
    let folder = folder.to_str().expect("a path");
    let (before, began) = (load.count(), Instant::now());
    let backup = || server.command_line(&["backup", folder]);
    let (done, text) = tokio::task::block_in_place(backup);
    assert!(done, "{text}");
    let written = load.count() - before;
    tell(&format!(
        "{text}{written} events were sent in the {} ms that it took",
        began.elapsed().as_millis()
    ));
    assert!(written > 0, "nobody could write meanwhile");
    let (again, text) = server.command_line(&["backup", folder]);
    assert!(!again && text.contains("is not empty"), "{text}");
}

async fn begin_anew(options: Options) {
    let mut stage = Stage::play(options).await;
    stage.restore();
    let (anna, bert, server) = (&stage.anna, &stage.bert, &stage.server);
    let after = [seen(anna, server).await, seen(bert, server).await];
    for (before, after) in stage.before.iter().zip(&after) {
        assert_eq!(before.len(), after.len());
        for ((name, before), (other, after)) in before.iter().zip(after) {
            assert_eq!((name, before), (other, after), "{name} is not as it was");
        }
    }
    tell(&format!(
        "{} answers are what they were at the moment",
        after.iter().map(Vec::len).sum::<usize>()
    ));
    // What was taken away after the moment is not given back.
    assert!(!is_stored(server, SECRET), "what was erased is back");
    let asked = stage.stolen.get("/_matrix/client/v3/account/whoami").await;
    asked.refused(401, "M_UNKNOWN_TOKEN");
    // No key of before is given out, and new ones are.
    assert_eq!(claim(bert, anna).await, None);
    publish(anna, 100..120).await;
    let mut given = BTreeSet::new();
    for _ in 0..20 {
        given.extend(claim(bert, anna).await);
    }
    let twice = given.intersection(&stage.claimed).count();
    tell(&format!(
        "{} one-time keys given out before and {} after, {twice} of them twice",
        stage.claimed.len(),
        given.len()
    ));
    assert_eq!((given.len(), twice), (20, 0));
    // A token of the life that is lost tells nothing about this one.
    let synced = anna.sync(Some(&stage.late), "").await;
    let rooms = synced["rooms"]["join"].as_object();
    assert!(rooms.is_some_and(|rooms| rooms.len() >= 4), "{synced}");
    let room_id = anna.create_room(json!({"preset": "public_chat"})).await;
    bert.join(&room_id).await;
    let said = bert.say(&room_id, "life goes on").await;
    let history = anna.history(&room_id).await;
    assert!(history.iter().any(|event| event["event_id"] == *said));
}

#[tokio::test(flavor = "multi_thread")]
async fn other_servers_tell_what_was_lost() {
    if only_alone("the nodes would need a new database") {
        return;
    }
    let wished: Option<usize> = wish("PLAYHOUSE_TEST_LOST_EVENTS");
    let lost = wished.unwrap_or(150);
    let town = Town::new(&["one.town", "two.town"]);
    let mut one = town.open("one.town", &[]).await;
    let two = town.open("two.town", &[]).await;
    let [anna, bert] = [one.register("anna").await, two.register("bert").await];
    let room_id = anna.create_room(json!({"preset": "public_chat"})).await;
    let join = format!("/_matrix/client/v3/join/{}?via=one.town", encode(&room_id));
    bert.post(&join, json!({})).await.ok();
    for line in 0..10 {
        anna.say(&room_id, &format!("line {line}")).await;
    }
    let moment = now_ms();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let folder = tempfile::tempdir().expect("a folder");
    let backup = folder.path().join("backup");
    let backup = backup.to_str().expect("a path");
    for line in 0..lost {
        let speaker = if line % 2 == 0 { &anna } else { &bert };
        speaker.say(&room_id, &format!("lost {line}")).await;
        if line == lost / 2 {
            let (done, text) =
                tokio::task::block_in_place(|| one.command_line(&["backup", backup]));
            assert!(done, "{text}");
            let topic = json!({"topic": "lost"});
            anna.set_state(&room_id, "m.room.topic", "", topic)
                .await
                .ok();
        }
    }
    let newest = anna.say(&room_id, "the newest of the lost").await;
    has(&bert, &room_id, &BTreeSet::from([newest])).await;
    let known = ids(&bert, &room_id).await;
    one.stop();
    clear(&mut one);
    let (done, text) = one.command_line(&["restore", backup, "--to", &moment.to_string()]);
    assert!(done, "{text}");
    let began = Instant::now();
    one.start_again();
    let anna = anna.at(one.base());
    let kept = ids(&anna, &room_id).await.len();
    has(&anna, &room_id, &known).await;
    let took = began.elapsed();
    tell(&format!(
        "of {} events of the room {kept} were there when it listened again, {lost} messages were lost; all are back {took:?} after its start",
        known.len(),
    ));
    assert!(wished.is_none() || took < BACK_SOON, "after {took:?} only");
    // What was lost is state again when all of it has been weighed.
    let deadline = Instant::now() + BACK_WITHIN;
    loop {
        let topic = anna.look(&room_id, "state/m.room.topic").await;
        if topic.body["topic"] == "lost" {
            break;
        }
        assert!(Instant::now() < deadline, "{}", topic.body);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let said = anna.say(&room_id, "here again").await;
    has(&bert, &room_id, &BTreeSet::from([said])).await;
    let said = bert.say(&room_id, "welcome").await;
    has(&anna, &room_id, &BTreeSet::from([said])).await;
}

async fn ids(client: &Client, room_id: &str) -> BTreeSet<String> {
    let history = client.history(room_id).await;
    let ids = history
        .iter()
        .filter_map(|event| event["event_id"].as_str());
    ids.map(ToOwned::to_owned).collect()
}

/// Waits until a client sees all these events.
async fn has(client: &Client, room_id: &str, wanted: &BTreeSet<String>) {
    let deadline = Instant::now() + BACK_WITHIN;
    loop {
        let missing = wanted.difference(&ids(client, room_id).await).count();
        if missing == 0 {
            return;
        }
        assert!(Instant::now() < deadline, "{missing} events are missing");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

//! Mistakes that are made on purpose: the checker that reads what clients of real nodes are told finds each of them, and nothing where none is made.

use std::{collections::BTreeMap, time::Instant};

use playhouse_schema::{
    address::{Entity, Family, Shard},
    port::LogStore as _,
    record::{
        codec::Record as _,
        room::{RoomRecord, Transaction},
    },
    register::Register,
};
use ruma::RoomId;
use tempfile::TempDir;
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{
    checker::{self, History, Line, Loaded, Op, Report, Rooms, Seen, write_rooms},
    *,
};
use crate::{
    kernel::memory::{Dice, Mistake},
    user::message::SyncQuery,
};

/// Each mistake is found with one of so many seeds: a machine that stalls may spoil some of them.
const SEEDS: u64 = 20;

/// One more than there are shards of rooms.
const HOUSES: usize = 4;
const WRITERS: usize = 6;
const READERS: usize = 3;

/// Few, so that rooms share them.
const SHARDS: u16 = 3;
const ROOMS: usize = 6;

/// So often nodes lose each other, and one is taken for dead that lives.
const TROUBLES: usize = 3;

/// An append takes so long: longer than a node takes to find out that it was taken for dead.
const APPEND: Duration = Duration::from_millis(250);

/// Who gets no answer in this time takes the request for lost.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// A writer asks so often at most.
const ATTEMPTS: usize = 12;

/// So much is acknowledged at least before it is over.
const ACKED: usize = 20;

/// Whoever waits for something waits so long.
const LONG: Duration = Duration::from_secs(120);

/// What is done wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    InLog(Mistake),
    /// What does not come by itself is not looked for.
    GapsSkipped,
}

async fn pause(dice: &mut Dice, (least_ms, most_ms): (usize, usize)) {
    let pause_ms = least_ms + dice.below(most_ms - least_ms);
    sleep(Duration::from_millis(pause_ms as u64)).await;
}

/// The last event of each room, and how long readers may take to come there.
type Goal = (BTreeMap<String, String>, Instant);

/// What writers and readers know.
struct Cast {
    houses: Vec<Arc<House>>,
    rooms: Vec<OwnedRoomId>,
    history: History,
    acked: AtomicUsize,
    is_over: AtomicBool,
    goal: Mutex<Option<Goal>>,
}

impl Cast {
    fn house(&self, turn: usize) -> &House {
        &self.houses[turn % self.houses.len()]
    }

    fn close(&self, mut line: Line, status: Option<u16>) -> bool {
        line.end_ns = self.history.now_ns();
        line.status = status;
        self.history.record(&line);
        status == Some(200)
    }

    async fn write(self: Arc<Self>, number: usize, client: Client) {
        for turn in 0_usize.. {
            let room_id: &RoomId = &self.rooms[(number + turn) % self.rooms.len()];
            let txn = format!("w{number}-{turn}");
            for attempt in 0..ATTEMPTS {
                if self.is_over.load(Ordering::SeqCst) {
                    return;
                }
                let house = self.house(number + turn + attempt);
                if self.say(house, &client, (room_id, txn.as_str())).await {
                    break;
                }
                sleep(Duration::from_millis(20)).await;
            }
        }
    }

    /// Asks once. Whether it is done.
    async fn say(&self, house: &House, client: &Client, (room_id, txn): (&RoomId, &str)) -> bool {
        let mut event = message(&client.user_id, txn);
        event.transaction = Some(Transaction {
            user_id: client.user_id.to_string(),
            device_id: client.device_id.to_string(),
            transaction_id: format!("send:m.room.message/{txn}"),
        });
        let mut line = Line::new(client.user_id.as_str(), Op::Send, self.history.now_ns());
        line.room = Some(room_id.to_string());
        line.txn = Some(txn.to_owned());
        let status = match timeout(ANSWER_WITHIN, house.send_event(room_id, event)).await {
            Ok(Ok(event_id)) => {
                line.event_id = Some(event_id.to_string());
                self.acked.fetch_add(1, Ordering::SeqCst);
                Some(200)
            }
            Ok(Err(_)) => Some(503),
            Err(_) => None,
        };
        self.close(line, status)
    }

    /// Says a last word in every room, so that whatever was on its way into it before has come or never will. Whether all were said in time.
    async fn say_last(&self, client: &Client, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        for (number, room_id) in self.rooms.iter().enumerate() {
            let (room_id, txn) = (&**room_id, format!("last{number}"));
            let mut turn = 0;
            while !self
                .say(self.house(turn), client, (room_id, txn.as_str()))
                .await
            {
                if Instant::now() > deadline {
                    return false;
                }
                turn += 1;
                sleep(Duration::from_millis(20)).await;
            }
        }
        true
    }

    async fn read(self: Arc<Self>, number: usize, client: Client) {
        let mut since = None;
        let mut latest = BTreeMap::new();
        for turn in number.. {
            if self.has_come_to(&latest) {
                return;
            }
            let mut line = Line::new(client.user_id.as_str(), Op::Sync, self.history.now_ns());
            line.since.clone_from(&since);
            let query = SyncQuery {
                device_id: client.device_id.clone(),
                since: since.clone(),
                filter: Some(r#"{"room":{"timeline":{"limit":1000}}}"#.to_owned()),
                full_state: false,
                set_presence: None,
                timeout_ms: 200,
                state_after: false,
            };
            let asked = self.house(turn).sync(&client.user_id, query);
            let status = match timeout(ANSWER_WITHIN, asked).await {
                Ok(Ok(body)) => {
                    note(&mut line, &serde_json::from_slice(&body).unwrap());
                    since.clone_from(&line.next);
                    let told = line.events.iter();
                    latest.extend(told.map(|seen| (seen.room.clone(), seen.id.clone())));
                    Some(200)
                }
                Ok(Err(_)) => Some(503),
                Err(_) => None,
            };
            if !self.close(line, status) {
                sleep(Duration::from_millis(20)).await;
            }
        }
    }

    fn has_come_to(&self, latest: &BTreeMap<String, String>) -> bool {
        let goal = self.goal.lock();
        goal.as_ref().is_some_and(|(last, until)| {
            let mut rooms = last.iter();
            rooms.all(|(room, event)| latest.get(room) == Some(event)) || Instant::now() > *until
        })
    }
}

/// Notes what a sync tells.
fn note(line: &mut Line, body: &Value) {
    line.next = body["next_batch"].as_str().map(ToOwned::to_owned);
    for (room, told) in body["rooms"]["join"].as_object().into_iter().flatten() {
        let timeline = &told["timeline"];
        if timeline["limited"] == true {
            line.limited.push(room.clone());
        }
        let events = timeline["events"].as_array().into_iter().flatten();
        let events = events.filter(|event| event["type"] == "m.room.message");
        line.events.extend(events.map(|event| seen(room, event)));
    }
}

fn seen(room: &str, event: &Value) -> Seen {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Seen {
        room: room.to_owned(),
        id: text(&event["event_id"]),
        sender: text(&event["sender"]),
        txn: event["content"]["body"].as_str().map(ToOwned::to_owned),
    }
}

/// What was said in a room, as its log has it.
fn said(town: &Town, room_id: &RoomId) -> Vec<Seen> {
    let records = town.store.records_of(&Entity::room(room_id.as_str()));
    let mut said = Vec::new();
    for stored in records {
        if let Ok(Some(RoomRecord::Event(event))) = RoomRecord::decode(&stored) {
            let mut pdu: Value = serde_json::from_slice(&event.pdu).unwrap();
            pdu["event_id"] = json!(stored.key.as_deref().unwrap_or_default());
            if pdu["type"] == "m.room.message" {
                said.push(seen(room_id.as_str(), &pdu));
            }
        }
    }
    said
}

/// A node that lives is taken for dead, and what it has goes to another: one that writes nothing in rooms yet, and need not wait for itself.
async fn bury(nodes: &[Node], shard: Shard, dice: &mut Dice) {
    let holds = |node: &Node| node.house.map().unwrap().serves(shard);
    let Some(owner) = nodes.iter().position(holds) else {
        return;
    };
    let is_idle = |node: &&Node| {
        let served = node.house.map().unwrap().served();
        served.iter().all(|shard| shard.family != Family::Rooms)
    };
    let idle: Vec<&Node> = nodes.iter().filter(is_idle).collect();
    if idle.is_empty() {
        return;
    }
    let heir = idle[dice.below(idle.len())];
    let ward = nodes[owner].house.ward().unwrap();
    let register: &dyn Register = &**ward.register();
    let heir = Some(heir.name.clone());
    register.pin(shard, heir.clone(), false).await.unwrap();
    register.want(&[(shard, heir)]).await.unwrap();
    register.leave(ward.incarnation()).await.unwrap();
}

async fn trouble(town: &Town, (nodes, rooms): (&[Node], &[OwnedRoomId]), dice: &mut Dice) {
    for _ in 0..TROUBLES {
        pause(dice, (400, 700)).await;
        let one = dice.below(nodes.len());
        let other = (one + 1 + dice.below(nodes.len() - 1)) % nodes.len();
        town.net.cut(&nodes[one].name, &nodes[other].name);
        pause(dice, (300, 600)).await;
        town.net.heal();
        pause(dice, (400, 700)).await;
        let room = Entity::room(rooms[dice.below(rooms.len())].as_str());
        let shard = town.store.layout().shard_of(&room);
        bury(nodes, shard, dice).await;
    }
    pause(dice, (800, 1_200)).await;
}

/// Six write and three read while nodes lose each other and one is taken for dead that lives; what the checker says of it.
async fn told(seed: u64, wrong: Option<Wrong>) -> Report {
    let town = Town::of_shards(SHARDS).await;
    let nodes = town.nodes(HOUSES).await;
    let house = &nodes[0].house;
    let mut clients = Vec::new();
    for number in 0..WRITERS + READERS {
        clients.push(Client::register(house, &format!("user{number}")).await);
    }
    let mut rooms = Vec::new();
    for _ in 0..ROOMS {
        let room_id = make_room(house, &clients[0].user_id).await;
        for client in &clients[1..] {
            join(house, &client.user_id, &room_id).await;
        }
        rooms.push(room_id);
    }
    let folder = tempfile::tempdir().unwrap();
    let cast = Arc::new(Cast {
        houses: nodes.iter().map(|node| node.house.clone()).collect(),
        rooms: rooms.clone(),
        history: History::create(&folder.path().join("history")).unwrap(),
        acked: AtomicUsize::new(0),
        is_over: AtomicBool::new(false),
        goal: Mutex::default(),
    });
    let (speaker, mut writers, mut readers) = (clients[0].clone(), JoinSet::new(), JoinSet::new());
    for (number, client) in clients.into_iter().enumerate() {
        if number < WRITERS {
            writers.spawn(cast.clone().write(number, client));
        } else {
            readers.spawn(cast.clone().read(number, client));
        }
    }
    town.store.delay(APPEND);
    match wrong {
        Some(Wrong::InLog(mistake)) => town.store.err(mistake),
        Some(Wrong::GapsSkipped) => {
            let tails = nodes.iter().map(|node| node.house.pools().tail());
            tails.for_each(|tail| tail.skip_gaps());
        }
        None => {}
    }
    trouble(&town, (&nodes[..], &rooms[..]), &mut Dice(seed)).await;
    until("enough is acknowledged", || {
        cast.acked.load(Ordering::SeqCst) >= ACKED
    })
    .await;
    cast.is_over.store(true, Ordering::SeqCst);
    timeout(LONG, writers.join_all()).await.unwrap();
    let patience = match wrong {
        // Not everything ends well in a log that is wrong, and nobody comes to the end of what is not there any more.
        Some(_) => Duration::from_secs(4),
        None => LONG,
    };
    town.store.delay(Duration::ZERO);
    let is_said = cast.say_last(&speaker, patience).await;
    assert!(is_said || wrong.is_some(), "a room takes nothing more");
    let held: Rooms = rooms
        .iter()
        .map(|room_id| (room_id.to_string(), said(&town, room_id)))
        .collect();
    let last = held.iter();
    let last = last.filter_map(|(room, said)| Some((room.clone(), said.last()?.id.clone())));
    *cast.goal.lock() = Some((last.collect(), Instant::now() + patience));
    timeout(LONG * 2, readers.join_all()).await.unwrap();
    report(&folder, &cast.history, &held)
}

fn report(folder: &TempDir, history: &History, held: &Rooms) -> Report {
    history.flush();
    let place = folder.path().join("rooms");
    write_rooms(&place, held).unwrap();
    let mut loaded = Loaded::default();
    loaded.read(&folder.path().join("history")).unwrap();
    loaded.read_rooms(&place).unwrap();
    let acked = loaded.steps.iter();
    let acked = acked.filter(|step| step.op == Op::Send && step.is_done());
    assert!(acked.count() >= ACKED, "hardly anything was said");
    checker::check(&loaded)
}

async fn is_found(wrong: Wrong) {
    for seed in 1..=SEEDS {
        let report = told(seed, Some(wrong)).await;
        if let Some(first) = report.violations.first() {
            println!(
                "found {wrong:?} by the seed {seed}: {:?}; {first}",
                report.counts
            );
            return;
        }
    }
    panic!("nothing was found with {SEEDS} seeds");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_found_where_nothing_is_wrong() {
    for seed in 1..=2 {
        let report = told(seed, None).await;
        assert!(report.is_clean(), "seed {seed}: {report}");
        println!("found nothing by the seed {seed}, where nothing is wrong");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_does_not_know_epochs_is_found() {
    is_found(Wrong::InLog(Mistake::NoEpochs)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_answers_before_it_commits_is_found() {
    is_found(Wrong::InLog(Mistake::EarlyAnswers)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_skips_gaps_is_found() {
    is_found(Wrong::GapsSkipped).await;
}

//! Nothing acknowledged is lost: a server is killed at random moments while many clients write.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Client, Database, Options, TestServer, client::encode};

const WRITERS: usize = 32;
const ROOMS: usize = 8;
const ROUNDS_PER_ROOM_SET: usize = 10;

/// So much is acknowledged in a round within this time.
const WRITTEN_WITHIN: Duration = Duration::from_secs(180);

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acked_is_lost_on_sqlite() {
    rounds(Options::default(), 50).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acked_is_lost_on_postgres() {
    rounds(
        Options {
            database: Some(Database::create()),
            ..Options::default()
        },
        20,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acked_is_lost_on_several_databases() {
    rounds(
        Options {
            database: Some(Database::create_several(2)),
            ..Options::default()
        },
        10,
    )
    .await;
}

/// One writer's acknowledged events, in order.
struct Written {
    room: usize,
    event_ids: Vec<String>,
}

struct Cast {
    writers: Vec<Client>,
    reader: Client,
    rooms: Vec<String>,
    since: String,
    /// The number of events that a forward crawl of each room gave last time.
    known: HashMap<String, HashSet<String>>,
}

#[expect(
    clippy::print_stdout,
    reason = "the figures belong into the test's output"
)]
async fn rounds(options: Options, rounds: usize) {
    let mut server = TestServer::start_with(options).await;
    let mut acked = 0;
    let mut cast = None;
    for round in 0..rounds {
        let mut players = match cast.take() {
            Some(players) if round % ROUNDS_PER_ROOM_SET != 0 => players,
            _ => assemble(&server, round).await,
        };
        let written = write_until_killed(&mut server, &players).await;
        acked += written
            .iter()
            .map(|writer| writer.event_ids.len())
            .sum::<usize>();
        server.start_again();
        players = check(&server, players, &written, round).await;
        cast = Some(players);
    }
    println!("{rounds} rounds, {acked} acknowledged events, none lost, none double");
    assert!(
        acked >= rounds * WRITERS,
        "the writers hardly wrote: {acked}"
    );
}

async fn assemble(server: &TestServer, round: usize) -> Cast {
    let reader = server.register(&format!("reader{round}")).await;
    let mut rooms = Vec::new();
    for _ in 0..ROOMS {
        rooms.push(reader.create_room(json!({"preset": "public_chat"})).await);
    }
    let mut writers = Vec::new();
    for index in 0..WRITERS {
        // Few accounts, many devices: hashing passwords is not what is tested.
        let writer = if index < 4 {
            server.register(&format!("writer{round}_{index}")).await
        } else {
            Client::clone(&writers[index % 4])
        };
        if index < 4 {
            for room in &rooms {
                writer.join(room).await;
            }
        }
        writers.push(writer);
    }
    let since = next_batch(&reader.sync(None, "").await);
    Cast {
        writers,
        reader,
        rooms,
        since,
        known: HashMap::new(),
    }
}

/// All writers send until the server is killed, at a moment nobody knows.
async fn write_until_killed(server: &mut TestServer, cast: &Cast) -> Vec<Written> {
    let stop = Arc::new(AtomicBool::new(false));
    let acked = Arc::new(AtomicUsize::new(0));
    let mut tasks = Vec::new();
    for (index, writer) in cast.writers.iter().enumerate() {
        let room = index % cast.rooms.len();
        let (writer, room_id) = (writer.at(server.base()), cast.rooms[room].clone());
        let (stop, acked) = (stop.clone(), acked.clone());
        tasks.push(tokio::spawn(async move {
            let mut event_ids = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let transaction = uuid::Uuid::now_v7();
                let path = format!(
                    "/_matrix/client/v3/rooms/{}/send/m.room.message/{transaction}",
                    encode(&room_id)
                );
                let body = json!({"msgtype": "m.text", "body": format!("{index} {transaction}")});
                match writer.try_request(Method::PUT, &path, Some(body)).await {
                    Ok(answer) if answer.status == 200 => {
                        let event_id = answer.body["event_id"].as_str();
                        event_ids.push(event_id.expect("an event ID").to_owned());
                        acked.fetch_add(1, Ordering::Relaxed);
                    }
                    // Trouble is no acknowledgement, and no loss.
                    Ok(answer) if answer.status >= 500 => {}
                    Ok(answer) => panic!("refused: {} {}", answer.status, answer.body),
                    Err(_) => break,
                }
            }
            Written { room, event_ids }
        }));
    }
    let deadline = Instant::now() + WRITTEN_WITHIN;
    while acked.load(Ordering::Relaxed) < WRITERS {
        assert!(Instant::now() < deadline, "the writers hardly write");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let moment = uuid::Uuid::now_v7().as_u128() as u64 % 500;
    tokio::time::sleep(Duration::from_millis(moment)).await;
    server.kill();
    stop.store(true, Ordering::Relaxed);
    let mut written = Vec::new();
    for task in tasks {
        written.push(task.await.expect("a writer ends"));
    }
    written
}

/// Every acknowledged event is there once, in its writer's order, in `/messages` and in what `/sync` tells since the last token.
async fn check(server: &TestServer, cast: Cast, written: &[Written], round: usize) -> Cast {
    let reader = cast.reader.at(server.base());
    let answer = reader.sync(Some(&cast.since), "").await;
    let mut known = HashMap::new();
    for (index, room_id) in cast.rooms.iter().enumerate() {
        let history = ids(&reader.history(room_id).await);
        let all: HashSet<String> = history.iter().cloned().collect();
        assert_eq!(
            all.len(),
            history.len(),
            "round {round}: an event stands twice in /messages of {room_id}"
        );
        let synced = since_last_sync(&reader, room_id, &answer, cast.known.get(room_id)).await;
        assert_eq!(
            synced.iter().collect::<HashSet<_>>().len(),
            synced.len(),
            "round {round}: /sync told an event twice"
        );
        for writer in written.iter().filter(|writer| writer.room == index) {
            assert_in_order(
                &history,
                &writer.event_ids,
                &format!("round {round}, /messages of {room_id}"),
            );
            assert_in_order(
                &synced,
                &writer.event_ids,
                &format!("round {round}, /sync of {room_id}"),
            );
        }
        known.insert(room_id.clone(), all);
    }
    Cast {
        since: next_batch(&answer),
        reader,
        known,
        ..cast
    }
}

/// What a client has of a room after a sync: its timeline, and when that is limited, what paging back from it gives up to what it knew.
async fn since_last_sync(
    reader: &Client,
    room_id: &str,
    answer: &Value,
    known: Option<&HashSet<String>>,
) -> Vec<String> {
    let timeline = &answer["rooms"]["join"][room_id]["timeline"];
    let mut newest_first: Vec<String> =
        ids(timeline["events"].as_array().map_or(&[], Vec::as_slice))
            .into_iter()
            .rev()
            .collect();
    let mut from = timeline["prev_batch"]
        .as_str()
        .map(ToOwned::to_owned)
        .filter(|_| timeline["limited"] == true);
    while let Some(token) = from {
        let path = format!(
            "/_matrix/client/v3/rooms/{}/messages?dir=b&limit=500&from={}",
            encode(room_id),
            encode(&token)
        );
        let page = reader.get(&path).await.ok();
        let older = ids(page["chunk"].as_array().expect("a chunk"));
        let reached = older
            .iter()
            .position(|id| known.is_some_and(|known| known.contains(id)));
        newest_first.extend(older.into_iter().take(reached.unwrap_or(usize::MAX)));
        from = page["end"]
            .as_str()
            .map(ToOwned::to_owned)
            .filter(|_| reached.is_none());
    }
    newest_first.reverse();
    newest_first
}

fn assert_in_order(found: &[String], acked: &[String], place: &str) {
    let mut places = found.iter();
    for event_id in acked {
        assert!(
            places.any(|id| id == event_id),
            "{place}: acknowledged {event_id} is lost or out of order"
        );
    }
}

fn ids(events: &[Value]) -> Vec<String> {
    events
        .iter()
        .filter_map(|event| event["event_id"].as_str().map(ToOwned::to_owned))
        .collect()
}

fn next_batch(answer: &Value) -> String {
    answer["next_batch"].as_str().expect("a token").to_owned()
}

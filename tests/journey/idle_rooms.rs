//! Rooms that nobody speaks in lie on disk: they cost neither memory nor time at start.

use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};
use serde_json::json;

use crate::harness::{Client, TestServer, only_alone};

/// Enough for work in each room to stand out from what a start costs anyway.
const ROOMS: usize = 2_000;

/// Rooms made at the same time.
const AT_ONCE: usize = 16;

/// What a start may read more than that of an empty server: less than a hundred bytes a room. Tables have grown, and so have the cursors.
const MORE_BYTES_MAX: u64 = 190_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_start_does_nothing_for_rooms_that_sleep() {
    if only_alone("it counts what one process reads and wakes") {
        return;
    }
    let mut server = TestServer::start().await;
    let anna = server.register("anna").await;
    server.restart();
    let empty = Start::look(&server).await;

    let anna = anna.at(server.base());
    stream::iter(0..ROOMS)
        .for_each_concurrent(AT_ONCE, |_| async {
            anna.create_room(json!({"preset": "private_chat"})).await;
        })
        .await;
    until_followed(&server, &anna).await;
    server.restart();
    let full = Start::look(&server).await;
    assert_eq!(full.rooms_woken, 0, "a start woke rooms");
    assert_eq!(
        full.records_followed, empty.records_followed,
        "a start read the rooms' records again"
    );
    assert!(
        full.bytes_read < empty.bytes_read + MORE_BYTES_MAX,
        "a start read {} bytes, that of an empty server {}",
        full.bytes_read,
        empty.bytes_read
    );

    // Whoever is asked for wakes, and nobody else.
    let anna = anna.at(server.base());
    let joined = anna.get("/_matrix/client/v3/joined_rooms").await.ok();
    let rooms = joined["joined_rooms"].as_array().expect("a list of rooms");
    assert_eq!(rooms.len(), ROOMS);
    let room_id = rooms[ROOMS / 2].as_str().expect("a room ID");
    anna.say(room_id, "is anybody here?").await;
    let last = Start::look(&server).await;
    assert_eq!(last.rooms_woken, 1);
    assert!(
        last.records_followed < empty.records_followed + ROOMS as u64 / 10,
        "old records were read again: {}",
        last.records_followed
    );
}

/// Waits until the follower that looks at each room's newcomers is done: else the next life goes on with it, and asks rooms.
async fn until_followed(server: &TestServer, anna: &Client) {
    let deadline = Instant::now() + Duration::from_secs(600);
    loop {
        // The list waits for the model, so the model's figure is that of all there is.
        let joined = anna.get("/_matrix/client/v3/joined_rooms").await.ok();
        let rooms = joined["joined_rooms"].as_array().map_or(0, Vec::len);
        let metrics = metrics(&server.client()).await;
        let count = |name: &str, label: &str| -> u64 {
            let mut lines = metrics.lines();
            let line = lines.find(|line| line.starts_with(name) && line.contains(label));
            let value = line.and_then(|line| line.rsplit(' ').next()?.parse().ok());
            value.unwrap_or(0)
        };
        let upkeep = count("playhouse_follower_records_total{", "\"upkeep\"");
        let model = count("playhouse_model_records_total{", "\"memberships\"");
        // Each room has at least its first event, its maker and its rules.
        if rooms == ROOMS && upkeep == model && upkeep > 3 * ROOMS as u64 {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "{rooms} joined, {upkeep} followed, {model} folded"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What a server has done since its start.
struct Start {
    rooms_woken: u64,
    records_followed: u64,
    /// From files and sockets, by the kernel's count.
    bytes_read: u64,
}

impl Start {
    async fn look(server: &TestServer) -> Self {
        let bytes_read = server.bytes_read();
        let metrics = metrics(&server.client()).await;
        let sum = |name: &str, label: &str| -> u64 {
            let lines = metrics
                .lines()
                .filter(|line| line.starts_with(name) && line.contains(label));
            lines
                .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
                .sum()
        };
        Self {
            rooms_woken: sum("playhouse_actor_wakes_total{", "kind=\"room\""),
            records_followed: sum("playhouse_follower_records_total{", "")
                + sum("playhouse_model_records_total{", ""),
            bytes_read,
        }
    }
}

async fn metrics(client: &Client) -> String {
    let (status, text) = client.text("/metrics").await;
    assert_eq!(status, 200, "{text}");
    text
}

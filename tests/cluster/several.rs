//! A house in several databases: one node, two nodes, and from one database to several and back.

use serde_json::json;

use super::{nodes::settled, shared::Shared};
use crate::harness::{Client, Database, Options, TestServer};

/// So many rooms that both databases hold some.
const ROOMS: usize = 12;

async fn fill(anna: &Client) -> Vec<String> {
    let mut rooms = Vec::new();
    for number in 0..ROOMS {
        let room_id = anna.create_room(json!({})).await;
        anna.say(&room_id, &format!("first of {number}")).await;
        rooms.push(room_id);
    }
    rooms
}

/// What was said in each room, as `/messages` has it.
async fn said(anna: &Client, rooms: &[String]) -> Vec<Vec<String>> {
    let mut said = Vec::new();
    for room_id in rooms {
        let history = anna.history(room_id).await;
        let bodies = history
            .iter()
            .filter_map(|event| event["content"]["body"].as_str());
        said.push(bodies.map(ToOwned::to_owned).collect());
    }
    said
}

/// Rooms of a first sync.
async fn seen(anna: &Client) -> usize {
    let sync = anna.sync(None, "").await;
    sync["rooms"]["join"]
        .as_object()
        .map_or(0, |rooms| rooms.len())
}

fn refused(server: &TestServer, word: &str) {
    let (is_fine, text) = server.command_line(&["log", "verify"]);
    assert!(!is_fine && text.contains(word), "{word}: {text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_house_lies_in_two_databases() {
    let database = Database::create_several(2);
    let mut server = TestServer::start_exactly(Options {
        database: Some(database.clone()),
        ..Options::default()
    });
    let anna = server.register("anna").await;
    let rooms = fill(&anna).await;
    let before = said(&anna, &rooms).await;
    server.kill();
    server.start_again();
    let anna = anna.at(server.base());
    assert_eq!(said(&anna, &rooms).await, before);
    assert_eq!(seen(&anna).await, ROOMS);
    server.stop();
    let (is_whole, text) = server.command_line(&["log", "verify"]);
    assert!(is_whole, "{text}");
    // Other addresses than these are refused with words.
    let (first, second) = database.split_once(',').expect("two");
    for (urls, word) in [
        (format!("{second},{first}"), "not in the order"),
        (first.to_owned(), "database 1 of the 2"),
        (format!("{first},{}", Database::create()), "empty database"),
        (format!("{first},{first}"), "each database is named once"),
    ] {
        server.use_database(Some(urls));
        refused(&server, word);
    }
    server.use_database(Some(database));
    server.start_again();
    assert_eq!(said(&anna.at(server.base()), &rooms).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_house_moves_into_several_databases_and_out_of_them() {
    let mut server = TestServer::start_exactly(Options::default());
    let anna = server.register("anna").await;
    let rooms = fill(&anna).await;
    let mut before = said(&anna, &rooms).await;
    server.stop();
    let data = server.data().display().to_string();
    let (two, three) = (Database::create_several(2), Database::create_several(3));
    let one = Database::create();
    let mut at = data;
    for next in [two, three, one] {
        let mut arguments = vec!["migrate"];
        arguments.extend(at.split(',').flat_map(|place| ["--from", place]));
        arguments.extend(next.split(',').flat_map(|place| ["--to", place]));
        let (is_done, text) = server.command_line(&arguments);
        assert!(is_done && text.contains("Every chain ends"), "{text}");
        server.use_database(Some(next.clone()));
        server.start_again();
        let anna = anna.at(server.base());
        assert_eq!(said(&anna, &rooms).await, before);
        assert_eq!(seen(&anna).await, ROOMS);
        for room_id in &rooms {
            anna.say(room_id, "after the move").await;
        }
        before = said(&anna, &rooms).await;
        server.stop();
        at = next;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_over_two_databases_take_over_from_each_other() {
    let shared = Shared::steady_over(Database::create_several(2));
    let (one, mut two) = (shared.start("n1", false), shared.start("n2", false));
    settled(&one, &["n1", "n2"]).await;
    let anna = one.register("anna").await;
    let there = anna.at(two.base());
    let rooms = fill(&anna).await;
    for room_id in &rooms {
        there.say(room_id, "from the other side").await;
    }
    let before = said(&anna, &rooms).await;
    assert!(before.iter().all(|said| said.len() == 2), "{before:?}");
    // What the other held in either database is taken over, and what it wrote is there.
    two.kill();
    settled(&one, &["n1"]).await;
    assert_eq!(said(&anna, &rooms).await, before);
    for room_id in &rooms {
        anna.say(room_id, "alone").await;
    }
    two.start_again();
    settled(&one, &["n1", "n2"]).await;
    let there = anna.at(two.base());
    assert_eq!(said(&there, &rooms).await, said(&anna, &rooms).await);
}

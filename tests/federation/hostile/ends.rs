//! What an event of another server costs in a room whose graph has many ends. Prints the figures and judges only that every event is taken in: how fast a
//! machine is says nothing about the program. `PLAYHOUSE_TEST_ENDS_EVENTS` asks for more events than a few.

use serde_json::json;

use super::{EVIL, Scene, guest::Guest};
use crate::harness::server::wanted;

/// So many branches grow side by side, in a room of their own each time.
const ENDS: [usize; 5] = [1, 10, 100, 10, 1];

/// So many events come in one transaction.
const AT_ONCE: usize = 50;

/// How many events are measured in each room.
fn measured() -> usize {
    wanted("PLAYHOUSE_TEST_ENDS_EVENTS", 100)
}

#[tokio::test(flavor = "multi_thread")]
async fn many_ends_make_events_no_dearer() {
    let scene = Scene::open().await;
    for differ in [false, true] {
        for ends in ENDS {
            let mut branches = branches(&scene, ends, differ).await;
            // What is read once for each branch is no part of it.
            grow(&scene, &mut branches, ends.max(AT_ONCE)).await;
            let before = scene.server.cpu_time();
            grow(&scene, &mut branches, measured()).await;
            let cpu = scene.server.cpu_time() - before;
            let each = cpu.as_secs_f64() * 1_000.0 / measured() as f64;
            tell(ends, differ, each);
        }
    }
    scene.end("many ends").await;
}

#[expect(
    clippy::print_stdout,
    reason = "the figures belong into the test's output"
)]
fn tell(ends: usize, differ: bool, each_ms: f64) {
    let states = if differ { "differing" } else { "equal" };
    println!("{ends} ends with {states} states: {each_ms:.2} ms of CPU for each event");
}

/// A room in which so many branches begin at the same event, each with a name of eve's own, if their states are to differ.
async fn branches(scene: &Scene, ends: usize, differ: bool) -> Vec<Guest> {
    let wish = json!({"preset": "public_chat", "room_version": "11"});
    let room_id = scene.anna.create_room(wish).await;
    let eve = Guest::join(&scene.anna, &room_id, "@eve:evil.test").await;
    let mut branches = vec![eve; ends];
    if differ {
        for (number, branch) in branches.iter_mut().enumerate() {
            let name = json!({"membership": "join", "displayname": format!("eve {number}")});
            let named = branch.event(
                json!({"type": "m.room.member", "state_key": branch.user_id, "content": name}),
            );
            let told = scene.send(EVIL, &[&named]).await;
            Scene::assert_taken(&told, &named);
            branch.knows(&named.json);
            branch.follow(&named);
        }
    }
    branches
}

/// So many messages, in turn on each of the branches.
async fn grow(scene: &Scene, branches: &mut [Guest], events: usize) {
    let mut made = Vec::with_capacity(events);
    for number in 0..events {
        let branch = &mut branches[number % branches.len()];
        let text = branch.text(&format!("message {number}"));
        branch.follow(&text);
        made.push(text);
    }
    for some in made.chunks(AT_ONCE) {
        let told = scene.send(EVIL, &some.iter().collect::<Vec<_>>()).await;
        for text in some {
            Scene::assert_taken(&told, text);
        }
    }
}

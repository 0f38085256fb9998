//! A room whose log has rotted: what other servers send to it is refused, and what they send elsewhere is taken in.

use std::path::Path;

use super::{GOOD, Scene};
use crate::harness::TestServer;

/// Said in the room that is to be damaged, and nowhere else.
const SAID: &str = "a sentence that is to rot";

/// How the text of every event begins.
const BEGINNING: &[u8] = b"{\"auth_events\"";

/// No value of MessagePack begins like this.
const NOTHING: u8 = 0xc1;

#[tokio::test(flavor = "multi_thread")]
async fn a_room_that_cannot_be_read_holds_up_no_other() {
    let mut scene = Scene::open().await;
    // A record that lies across pages of a file is not found in it: of some one surely lies in one piece.
    for _ in 0..10 {
        scene.anna.say(&scene.room_id, SAID).await;
    }
    scene.server.stop();
    match scene.server.database().map(ToOwned::to_owned) {
        Some(dsn) => damage_on_postgres(dsn).await,
        None => damage_on_sqlite(&scene.server),
    }
    scene.server.start_again();
    scene.anna = scene.anna.at(scene.server.base());
    for _ in 0..2 {
        let broken = scene.gus.text("where nothing can be read");
        let whole = scene.elsewhere.text("where all is well");
        let told = scene.send(GOOD, &[&broken, &whole]).await;
        Scene::assert_refused(&told, &broken, "cannot be worked on");
        Scene::assert_taken(&told, &whole);
        scene.elsewhere.follow(&whole);
    }
}

fn damage_on_sqlite(server: &TestServer) {
    let files = std::fs::read_dir(server.data().join("log")).expect("the log's folder");
    let paths = files.map(|file| file.expect("a file").path());
    let damaged: usize = paths
        .filter(|path| path.extension().is_some_and(|kind| kind == "db"))
        .map(|path| damage_file(&path))
        .sum();
    assert!(damaged > 0, "it was said");
}

/// Takes away how long the text of an event is, wherever it stands in a file; how often that was.
fn damage_file(path: &Path) -> usize {
    let mut bytes = std::fs::read(path).expect("a log file");
    let windows = bytes.windows(SAID.len()).enumerate();
    let places: Vec<_> = windows
        .filter(|(_, window)| *window == SAID.as_bytes())
        .map(|(place, _)| place)
        .collect();
    let mut damaged = 0;
    for place in places {
        let mut before = bytes[..place].windows(BEGINNING.len());
        let start = before.rposition(|window| window == BEGINNING);
        // Bytes of a length that takes two bytes.
        if let Some(head) = start.and_then(|start| start.checked_sub(3))
            && bytes[head] == 0xc5
        {
            bytes[head] = NOTHING;
            damaged += 1;
        }
    }
    if damaged > 0 {
        std::fs::write(path, bytes).expect("the log file can be written");
    }
    damaged
}

async fn damage_on_postgres(dsn: String) {
    let damage = move || {
        let mut client =
            postgres::Client::connect(&dsn, postgres::NoTls).expect("PostgreSQL answers");
        let statement = format!(
            "UPDATE log_rooms SET payload = set_byte(payload, 0, {NOTHING}) \
             WHERE position(convert_to('{SAID}', 'UTF8') in payload) > 0"
        );
        let rows = client.execute(statement.as_str(), &[]);
        assert!(rows.expect("rows can be changed") > 0, "it was said");
    };
    let damaged = tokio::task::spawn_blocking(damage);
    damaged.await.expect("the record is damaged");
}

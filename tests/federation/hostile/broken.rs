//! A room whose log has rotted: what other servers send to it is refused, and what they send elsewhere is taken in.

use std::path::PathBuf;

use super::{GOOD, Scene};
use crate::harness::TestServer;

/// Said in the room that is to be damaged, and nowhere else.
const SAID: &str = "a sentence that is to rot";

/// No value of MessagePack begins like this.
const NOTHING: u8 = 0xc1;

#[tokio::test(flavor = "multi_thread")]
async fn a_room_that_cannot_be_read_holds_up_no_other() {
    let mut scene = Scene::open().await;
    scene.anna.say(&scene.room_id, SAID).await;
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
    let of_rooms = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.starts_with("rooms-") && name.ends_with(".db"))
    };
    let damage = |path: PathBuf| {
        let database = rusqlite::Connection::open(path).expect("a log file");
        let statement = format!(
            "UPDATE log_rooms SET payload = x'{NOTHING:02x}' WHERE instr(payload, CAST('{SAID}' AS BLOB)) > 0"
        );
        let rows = database.execute(&statement, ());
        rows.expect("rows can be changed")
    };
    let damaged: usize = paths.filter(of_rooms).map(damage).sum();
    assert!(damaged > 0, "it was said");
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

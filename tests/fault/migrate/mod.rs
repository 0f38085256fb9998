//! `playhouse migrate`: SQLite to PostgreSQL and back, killed at random moments, and afterwards nobody notices.
//!
//! `PLAYHOUSE_TEST_MIGRATE_EVENTS` asks for more events than a few (a million takes its time), `PLAYHOUSE_TEST_MIGRATE_KILLS` for more kills,
//! `PLAYHOUSE_TEST_MIGRATE_SEED` for other moments.

mod world;

use std::{
    io::{BufRead as _, BufReader},
    process::Stdio,
    time::{Duration, Instant},
};

use serde_json::Value;

use self::world::{World, look};
use crate::harness::{Database, Dice, Options, TestServer, wish};

/// What comes a little later has so long to come, and where looking takes long time for some more looks.
const SETTLES_WITHIN: Duration = Duration::from_secs(180);
const LOOKS: u32 = 4;

#[tokio::test(flavor = "multi_thread")]
async fn nobody_notices_a_migration() {
    let wished: Option<usize> = wish("PLAYHOUSE_TEST_MIGRATE_EVENTS");
    let events = wished.unwrap_or(3_000);
    let kills = wish("PLAYHOUSE_TEST_MIGRATE_KILLS").unwrap_or(6);
    let mut dice = Dice(wish("PLAYHOUSE_TEST_MIGRATE_SEED").unwrap_or(1));
    let mut server = TestServer::start_exactly(Options::default());
    let begun = Instant::now();
    let world = World::make(&server, events).await;
    println!("{events} messages are there after {:?}", begun.elapsed());
    let before = settled(&world, &server).await;
    server.stop();
    let (data, dsn) = (server.data().display().to_string(), Database::create());
    let (data, dsn) = (data.as_str(), dsn.as_str());
    if wished.is_some() {
        undisturbed(&server, data);
    }

    let there = ["migrate", "--from", data, "--to", dsn];
    server.use_database(Some(dsn.to_owned()));
    bring(&server, &there, (&mut dice, kills));
    // Said again, it is done.
    let (done, text) = server.command_line(&there);
    assert!(done && text.contains("already"), "{text}");
    server.start_again();
    agree(&world, &server, &before).await;
    let (done, text) = server.command_line(&there);
    assert!(!done && text.contains("stop the server first"), "{text}");
    server.stop();

    // The folder of media and keys stays; what the database had in it goes.
    for name in ["log", "snapshots.db", "models.db"] {
        remove(&server.data(), name);
    }
    server.use_database(None);
    let back = ["migrate", "--from", dsn, "--to", data];
    bring(&server, &back, (&mut dice, kills));
    server.start_again();
    agree(&world, &server, &before).await;
    world.go_on(&server).await;
    server.stop();
    let (whole, text) = server.command_line(&["log", "verify"]);
    assert!(whole, "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_migrated_is_said() {
    let mut server = TestServer::start_exactly(Options::default());
    server.register("anna").await;
    let data = server.data().display().to_string();
    let other = server.data().with_file_name("other").display().to_string();
    let (data, other) = (data.as_str(), other.as_str());
    let from_data = ["migrate", "--from", data, "--to", other];
    let (done, text) = server.command_line(&from_data);
    assert!(!done && text.contains("stop the server first"), "{text}");
    server.stop();
    for (arguments, said) in [
        (vec!["migrate"], "say --from, --to or both"),
        (vec!["migrate", "--to", data], "the same database"),
        (
            vec!["migrate", "--from", "nowhere", "--to", other],
            "there is no Playhouse database",
        ),
        (
            vec!["migrate", "--from", data, "--to", "mysql://h/d"],
            "begins with postgres://",
        ),
    ] {
        let (done, text) = server.command_line(&arguments);
        assert!(!done && text.contains(said), "{arguments:?}: {text}");
    }
    // From one folder to another, the first one being the configured one.
    let (done, text) = server.command_line(&["migrate", "--to", other]);
    assert!(
        done && text.contains("Every chain ends as in the source"),
        "{text}"
    );
    server.start_again();
    server.register("bert").await;
    server.stop();
    let (done, text) = server.command_line(&from_data);
    assert!(!done && text.contains("something else"), "{text}");
}

fn remove(folder: &std::path::Path, name: &str) {
    for entry in std::fs::read_dir(folder)
        .expect("the data folder")
        .flatten()
    {
        let found = entry.file_name().to_string_lossy().into_owned();
        let is_part = found == name || found.starts_with(&format!("{name}-"));
        match entry.file_type().map(|kind| kind.is_dir()) {
            Ok(true) if is_part => std::fs::remove_dir_all(entry.path()).expect("a folder goes"),
            Ok(false) if is_part => std::fs::remove_file(entry.path()).expect("a file goes"),
            _ => {}
        }
    }
}

/// How long it takes there and back when nobody kills it.
#[expect(
    clippy::print_stdout,
    reason = "the figures belong into the test's output"
)]
fn undisturbed(server: &TestServer, data: &str) {
    let back = server.data().with_file_name("back").display().to_string();
    let dsn = Database::create();
    let mut from = data;
    for to in [dsn.as_str(), back.as_str()] {
        let started = Instant::now();
        let (done, text) = server.command_line(&["migrate", "--from", from, "--to", to]);
        println!("without a kill, to {to}: {:?}: {text}", started.elapsed());
        assert!(done, "{text}");
        from = to;
    }
    // It takes as much room as what is migrated.
    std::fs::remove_dir_all(back).expect("the folder goes");
}

/// Migrates, and kills the program some times on the way.
#[expect(
    clippy::print_stdout,
    reason = "the figures belong into the test's output"
)]
fn bring(server: &TestServer, arguments: &[&str], (dice, kills): (&mut Dice, usize)) {
    let started = Instant::now();
    let mut killed = 0;
    let mut is_whole = false;
    while killed < kills && !is_whole {
        let moment = (dice.below(6), Duration::from_millis(dice.below(60) as u64));
        kill_at(server, arguments, moment);
        killed += 1;
        // Half a database is none; it may have been killed when all was done.
        let (whole, text) = server.command_line(&["log", "verify"]);
        assert!(whole || text.contains("playhouse migrate"), "{text}");
        is_whole = whole;
    }
    let (done, text) = server.command_line(arguments);
    assert!(done, "after {killed} kills: {text}");
    assert_eq!(is_whole, text.contains("already"), "{text}");
    println!("{killed} kills, {:?} in all: {text}", started.elapsed());
}

/// Starts the migration and kills it a moment after it has told its progress once and so many times more, if it has not ended before.
fn kill_at(server: &TestServer, arguments: &[&str], (lines, wait): (usize, Duration)) {
    let mut command = server.command(arguments);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut process = command.spawn().expect("the program runs");
    let told = process.stderr.take().expect("standard error is piped");
    let told = BufReader::new(told).lines().map_while(Result::ok);
    let told: Vec<String> = told.take(lines + 1).collect();
    // Whatever it says from now on is read by nobody, and is little.
    std::thread::sleep(wait);
    let ended = process.try_wait().expect("the process is there");
    if let Some(status) = ended {
        assert!(status.success(), "it ended with {status}: {told:?}");
        return;
    }
    process.kill().expect("the process can be killed");
    process.wait().expect("the process ends");
}

/// What clients see when everything has come that comes a little later.
async fn settled(world: &World, server: &TestServer) -> Vec<(String, Value)> {
    let deadline = Instant::now() + SETTLES_WITHIN;
    // Followers bring names into rooms, one after the other.
    while !world.is_named(server).await {
        assert!(Instant::now() < deadline, "names never come into all rooms");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let looked = Instant::now();
    let mut seen = look(world, server).await;
    let deadline = Instant::now() + SETTLES_WITHIN.max(looked.elapsed() * LOOKS);
    loop {
        let again = look(world, server).await;
        if again == seen {
            return seen;
        }
        assert!(Instant::now() < deadline, "the answers never settle");
        seen = again;
    }
}

/// The same answers as before.
#[expect(
    clippy::print_stdout,
    reason = "the figures belong into the test's output"
)]
async fn agree(world: &World, server: &TestServer, before: &[(String, Value)]) {
    let looked = Instant::now();
    let mut after = look(world, server).await;
    let deadline = Instant::now() + SETTLES_WITHIN.max(looked.elapsed() * LOOKS);
    while after != before && Instant::now() < deadline {
        after = look(world, server).await;
    }
    println!(
        "{} answers looked at in {:?}",
        after.len(),
        looked.elapsed()
    );
    assert_eq!(after.len(), before.len());
    for ((name, before), (again, after)) in before.iter().zip(&after) {
        assert_eq!(name, again);
        assert_eq!(before, after, "{name} changed");
    }
}

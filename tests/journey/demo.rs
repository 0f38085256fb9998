//! The demonstration of the README.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

/// What the demonstration says when all three servers see what everybody said.
const SHOWN: &str = "All three are in #demo:one.demo";

#[test]
fn three_servers_share_a_room_and_stop() {
    let mut demo = Command::new("ops/demo")
        .env("DEMO_BINARY", env!("CARGO_BIN_EXE_playhouse"))
        .stdout(Stdio::piped())
        .spawn()
        .expect("the demonstration starts");
    let output = BufReader::new(demo.stdout.take().expect("standard output is piped"));
    let mut said = Vec::new();
    for line in output.lines() {
        let line = line.expect("it prints text");
        if line.starts_with(SHOWN) {
            let pid = demo.id().to_string();
            let told = Command::new("kill").args(["-TERM", &pid]).status();
            assert!(told.expect("there is `kill`").success());
        }
        said.push(line);
    }
    let ended = demo.wait().expect("it ends");
    assert!(ended.success(), "{ended}: {said:#?}");
    assert!(said.iter().any(|line| line.starts_with(SHOWN)), "{said:#?}");
    assert_eq!(
        said.last().map(String::as_str),
        Some("All three have stopped.")
    );
}

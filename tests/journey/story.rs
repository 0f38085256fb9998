//! Runs a script of a real client against a real server, and does to the server what the script asks for.

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use crate::harness::{Options, TestServer, database::free_port};

/// What the scripts of matrix-js-sdk share.
const SHARED: &str = "sdk.mjs";

/// A command that runs a script with matrix-nio.
pub(super) fn nio(script: &str) -> Command {
    let mut command = Command::new(tools().join("python/bin/python"));
    command.arg(source(script));
    command
}

/// A command that runs a script with matrix-js-sdk.
pub(super) fn js_sdk(script: &str) -> Command {
    // Node finds packages beside the script, so the script runs from where they are installed.
    let folder = tools().join("node");
    for name in [SHARED, script] {
        std::fs::copy(source(name), folder.join(name)).expect("`ops/ci/test` installs the clients");
    }
    let mut command = Command::new("node");
    command.arg(folder.join(script));
    command
}

/// Runs a script against a server on a fixed port: its first argument is the server's address, the further ones are given. On `RESTART` the server is
/// stopped and started, on `KILL` it is killed a moment later and started. Gives the line with which the script ends, which begins with `end`.
pub(super) async fn tell(command: &mut Command, arguments: &[String], end: &str) -> String {
    let mut server = on_fixed_port().await;
    let mut client = command
        .arg(server.base())
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the client runs: `ops/ci/test` installs it");
    let output = BufReader::new(client.stdout.take().expect("standard output is piped"));
    let mut said = Vec::new();
    for line in output.lines() {
        let line = line.expect("the client prints text");
        match line.as_str() {
            "RESTART" => server.restart(),
            "KILL" => {
                // The moment is meant to be random: the client goes on meanwhile.
                tokio::time::sleep(Duration::from_millis(rand::random_range(0..500))).await;
                server.kill();
                server.start_again();
            }
            _ => {
                said.push(line);
                continue;
            }
        }
        let input = client.stdin.as_mut().expect("standard input is piped");
        input.write_all(b"done\n").expect("the client listens");
    }
    let status = client.wait().expect("the client ends");
    let last = said.iter().find(|line| line.starts_with(end));
    match last {
        Some(last) if status.success() => last.clone(),
        _ => panic!("{status}: {said:?}"),
    }
}

/// A server that keeps its address when it is started again.
pub(super) async fn on_fixed_port() -> TestServer {
    let port = free_port();
    let environment = vec![("PLAYHOUSE_LISTEN".to_owned(), format!("127.0.0.1:{port}"))];
    TestServer::start_with(Options {
        environment,
        ..Options::default()
    })
    .await
}

/// Where `ops/ci/test` puts the clients.
pub(super) fn tools() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools")
}

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/journey")
        .join(name)
}

//! Real clients talk in an encrypted room, through a restart of the server.

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::harness::{Options, TestServer};

#[tokio::test(flavor = "multi_thread")]
async fn matrix_nio() {
    let python = tools().join("python/bin/python");
    converse(Command::new(python).arg(script("conversation.py"))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn matrix_js_sdk() {
    // Node finds packages beside the script, so the script runs from where they are installed.
    let folder = tools().join("node");
    std::fs::copy(script("conversation.mjs"), folder.join("conversation.mjs"))
        .expect("`ops/ci/test` installs the clients");
    converse(Command::new("node").arg(folder.join("conversation.mjs"))).await;
}

/// Runs a script against a server on a fixed port, and restarts the server when the script asks.
async fn converse(command: &mut Command) {
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
        .port();
    let environment = vec![("PLAYHOUSE_LISTEN".to_owned(), format!("127.0.0.1:{port}"))];
    let mut server = TestServer::start_with(Options {
        environment,
        ..Options::default()
    })
    .await;
    let mut client = command
        .arg(server.base())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the client runs: `ops/ci/test` installs it");
    let output = BufReader::new(client.stdout.take().expect("standard output is piped"));
    let mut said = Vec::new();
    for line in output.lines() {
        let line = line.expect("the client prints text");
        if line == "RESTART" {
            server.restart();
            let input = client.stdin.as_mut().expect("standard input is piped");
            input.write_all(b"restarted\n").expect("the client listens");
        }
        said.push(line);
    }
    let status = client.wait().expect("the client ends");
    assert!(
        status.success() && said.iter().any(|line| line == "CONVERSATION OK"),
        "{status}: {said:?}"
    );
}

fn tools() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools")
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/journey")
        .join(name)
}

//! `ops/cluster`: what scripts outside the repository start.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::Client;

/// The program as nodes start it, but each with a database of its own: what is tested is the script.
const ALONE: &str = r#"#!/bin/sh
if [ "$1" = run ]; then
  unset PLAYHOUSE_DATABASE PLAYHOUSE_CLUSTER_LISTEN PLAYHOUSE_CLUSTER_SECRET_FILE PLAYHOUSE_CLUSTER_NAME PLAYHOUSE_CLUSTER_ROLES
fi
if [ "$1 $2" = "cluster leave" ]; then
  echo "$3" >>"$0.left"
  exit 0
fi
exec "$PROGRAM" "$@"
"#;

/// A folder for a cluster, which is stopped when this is dropped.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let place = Self { folder };
        fs::write(place.program(), ALONE).expect("the program can be written");
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(place.program(), mode).expect("it can be made a program");
        place
    }

    fn program(&self) -> PathBuf {
        self.folder.path().join("playhouse")
    }

    fn cluster(&self) -> PathBuf {
        self.folder.path().join("cluster")
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new("ops/cluster")
            .args(arguments)
            .arg("--dir")
            .arg(self.cluster())
            .env("CLUSTER_BINARY", self.program())
            .env("PROGRAM", env!("CARGO_BIN_EXE_playhouse"))
            .env("PLAYHOUSE_SERVER_NAME", "playhouse.test")
            .env("PLAYHOUSE_DATABASE", "postgres://nobody@127.0.0.1:9/none")
            .env("PLAYHOUSE_FEDERATION_NOTARIES", "")
            .env("PLAYHOUSE_LOG", "warn")
            .output()
            .expect("the script runs")
    }

    /// What it prints, which is one line of JSON.
    #[track_caller]
    fn told(&self, arguments: &[&str]) -> Value {
        let output = self.run(arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {errors}");
        let text = String::from_utf8(output.stdout).expect("text");
        assert_eq!(text.lines().count(), 1, "{text}");
        serde_json::from_str(&text).expect("JSON")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.run(&["stop"]);
    }
}

/// The names and processes of the nodes.
fn nodes(told: &Value) -> Vec<(String, u64)> {
    let nodes = told["nodes"].as_array().expect("nodes").iter();
    nodes
        .map(|node| {
            let name = node["name"].as_str().expect("a name").to_owned();
            (name, node["pid"].as_u64().expect("a process"))
        })
        .collect()
}

fn names(told: &Value) -> Vec<String> {
    nodes(told).into_iter().map(|(name, _)| name).collect()
}

/// Whether a process runs: one that has ended may still be listed.
fn lives(process: u64) -> bool {
    let stat = fs::read_to_string(Path::new("/proc").join(process.to_string()).join("stat"));
    let Ok(stat) = stat else { return false };
    let (_, rest) = stat.rsplit_once(") ").expect("a name");
    !rest.starts_with('Z')
}

async fn answers(url: &Value, path: &str) -> bool {
    let client = Client::new(url.as_str().expect("a URL"));
    let answer = client.try_request(reqwest::Method::GET, path, None).await;
    answer.is_ok_and(|answer| answer.status == 200)
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_start_come_go_and_end() {
    let place = Place::new();
    let told = place.told(&["start", "--nodes", "2"]);
    assert_eq!(names(&told), ["n1", "n2"]);
    for node in told["nodes"].as_array().expect("nodes") {
        assert!(answers(&node["url"], "/health").await, "{node}");
    }
    assert!(answers(&told["proxy"], "/_matrix/client/versions").await);
    let again = place.run(&["start", "--nodes", "2"]);
    assert_eq!((again.status.code(), again.stdout.len()), (Some(1), 0));

    let more = place.told(&["add"]);
    assert_eq!(names(&more), ["n1", "n2", "n3"]);
    assert_eq!(more["proxy"], told["proxy"]);
    let less = place.told(&["remove", "--node", "n1"]);
    assert_eq!(names(&less), ["n2", "n3"]);
    assert!(!lives(nodes(&told)[0].1), "the node that was removed runs");
    let left = fs::read_to_string(place.program().with_extension("left"));
    assert_eq!(left.expect("a node has left"), "n1\n");
    for _ in 0..4 {
        assert!(answers(&less["proxy"], "/_matrix/client/versions").await);
    }

    let ended = place.run(&["stop"]);
    assert!(ended.status.success() && ended.stdout.is_empty());
    assert!(nodes(&less).iter().all(|(_, process)| !lives(*process)));
    assert!(!answers(&less["proxy"], "/health").await);
    assert!(!place.run(&["add"]).status.success(), "there is no cluster");
}

#[test]
fn what_a_killed_script_left_is_ended() {
    let place = Place::new();
    let told = place.told(&["start", "--nodes", "1"]);
    let process = nodes(&told)[0].1;
    assert!(lives(process));
    // As if it had been killed before it could note anything.
    fs::remove_file(place.cluster().join("cluster.json")).expect("there is a note");
    assert!(place.run(&["stop"]).status.success());
    assert!(!lives(process), "the node runs on");
}

#[test]
fn a_process_that_only_has_the_number_is_left_alone() {
    let place = Place::new();
    let told = place.told(&["start", "--nodes", "1"]);
    let process = nodes(&told)[0].1.to_string();
    let mut other = Command::new("sleep")
        .arg("600")
        .spawn()
        .expect("there is `sleep`");
    let note = place.cluster().join("cluster.json");
    let text = fs::read_to_string(&note).expect("there is a note");
    let number = format!("\"pid\": {}", other.id());
    let text = text.replace(&format!("\"pid\": {process}"), &number);
    fs::write(&note, text).expect("the note can be changed");
    assert!(place.run(&["stop"]).status.success());
    assert!(lives(u64::from(other.id())), "another process was ended");
    other.kill().expect("it can be killed");
    other.wait().expect("it ends");
}

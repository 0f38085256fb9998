//! What nodes share, and how the register says they stand.

use std::{fs, path::PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use super::netns::Wires;
use crate::harness::{Database, Options, TestServer};

/// Where an administrator is told how the cluster stands.
pub(super) const CLUSTER: &str = "/_playhouse/admin/v1/cluster";

/// Ports of nodes that have an address of their own.
const CLIENT_PORT: u16 = 8008;
const CLUSTER_PORT: u16 = 8449;

/// Longer than a busy machine lets a node wait for its turn, and far shorter than what is waited for shards that change hands.
const STEADY_LEASE_MS: u64 = 20_000;

/// What nodes share.
pub(super) struct Shared {
    pub(super) database: String,
    folder: TempDir,
    /// Where each node has a place of its own.
    pub(super) wires: Option<Wires>,
    /// How long a node has its shards without saying that it lives; as usual when none.
    lease_ms: Option<u64>,
    /// What else each node is told.
    pub(super) more: Vec<(String, String)>,
}

impl Shared {
    /// The same as new, for tests in which no lease has to end soon: a node that the machine does not let run for seconds keeps what it has, and who waits for
    /// it gets an answer. One that is killed has its port closed, by which the others find that out at once; if they do not, its lease ends in time for those
    /// who wait.
    pub(super) fn steady() -> Self {
        Self::of_lease(Some(STEADY_LEASE_MS))
    }

    /// The same as steady, over a database that is given.
    pub(super) fn steady_over(database: String) -> Self {
        let mut shared = Self::over(database, None);
        shared.lease_ms = Some(STEADY_LEASE_MS);
        shared
    }

    /// The same as new, with another lease.
    pub(super) fn of_lease(lease_ms: Option<u64>) -> Self {
        let mut shared = Self::new();
        shared.lease_ms = lease_ms;
        shared
    }

    /// A database of its own, and nothing in it.
    fn new() -> Self {
        Self::over(Database::create(), None)
    }

    /// A database that is given.
    pub(super) fn over(database: String, wires: Option<Wires>) -> Self {
        let shared = Self {
            database,
            folder: tempfile::tempdir().expect("a temporary folder"),
            wires,
            lease_ms: None,
            more: Vec::new(),
        };
        shared.write("secret", "the secret of a cluster in tests");
        shared.write("other", "the secret of another cluster");
        shared
    }

    fn write(&self, name: &str, secret: &str) {
        fs::write(self.path(name), secret).expect("it can be written");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What a node is told of the others: its name, and in which file the secret is.
    pub(super) fn environment(&self, name: &str, secret: &str) -> Vec<(String, String)> {
        let path = |name: &str| self.path(name).display().to_string();
        let mut variables = vec![
            ("PLAYHOUSE_CLUSTER_LISTEN", "127.0.0.1:0".to_owned()),
            ("PLAYHOUSE_CLUSTER_SECRET_FILE", path(secret)),
            ("PLAYHOUSE_CLUSTER_NAME", name.to_owned()),
            ("PLAYHOUSE_MEDIA_DIR", path("media")),
            ("PLAYHOUSE_LISTEN_WORKERS", "1".to_owned()),
        ];
        if let Some(lease_ms) = self.lease_ms {
            variables.push(("PLAYHOUSE_CLUSTER_LEASE_MS", lease_ms.to_string()));
        }
        if let Some(wires) = &self.wires {
            let address = wires.address(name);
            let place = |port: u16| format!("{address}:{port}");
            variables.push(("PLAYHOUSE_CLUSTER_LISTEN", place(CLUSTER_PORT)));
            variables.push(("PLAYHOUSE_LISTEN", place(CLIENT_PORT)));
        }
        let variables = variables.into_iter();
        variables
            .map(|(name, value)| (name.to_owned(), value))
            .chain(self.more.iter().cloned())
            .collect()
    }

    /// The file with what a node complains about, where it has a place of its own.
    pub(super) fn log(&self, name: &str) -> PathBuf {
        self.path(&format!("{name}.log"))
    }

    /// Starts a node. What it complains about comes with the test's output, or into its file.
    pub(super) fn start(&self, name: &str, to_file: bool) -> TestServer {
        self.start_for((name, ""), to_file)
    }

    /// A node for these roles; for all when none is named.
    pub(super) fn start_for(&self, (name, roles): (&str, &str), to_file: bool) -> TestServer {
        let runner = self.wires.as_ref().map(|wires| wires.runner(name));
        let mut environment = self.environment(name, "secret");
        environment.push(("PLAYHOUSE_CLUSTER_ROLES".to_owned(), roles.to_owned()));
        TestServer::start_exactly(Options {
            database: Some(self.database.clone()),
            environment,
            prefix: runner.unwrap_or_default(),
            log: to_file.then(|| self.log(name)),
        })
    }
}

impl Drop for Shared {
    #[expect(
        clippy::print_stdout,
        reason = "whoever looks for the reason of a failure should know where"
    )]
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.folder.disable_cleanup(true);
            println!("what nodes shared is in {}", self.folder.path().display());
        }
    }
}

/// How many shards a node holds; with no name those that nobody holds.
pub(super) fn held_by(status: &Value, node: Option<&str>) -> usize {
    let shards = status["shards"].as_array().expect("shards");
    let held = shards.iter();
    held.filter(|shard| shard["holder"].as_str() == node)
        .count()
}

/// Whether each of these nodes holds something, and nobody else anything. Shards may be about to go from one of them to another: see [`is_at_rest`].
pub(super) fn is_settled(status: &Value, nodes: &[&str]) -> bool {
    let all = status["shards"].as_array().map_or(0, Vec::len);
    let held: Vec<_> = nodes
        .iter()
        .map(|node| held_by(status, Some(node)))
        .collect();
    held.iter().all(|held| *held > 0) && held.iter().sum::<usize>() == all
}

/// The same, and no shard goes anywhere: whoever holds one that is to go elsewhere has perhaps ended already what lives in it.
pub(super) fn is_at_rest(status: &Value, nodes: &[&str]) -> bool {
    let is_moving = status["moves"]
        .as_array()
        .is_none_or(|moves| !moves.is_empty());
    is_settled(status, nodes) && !is_moving
}

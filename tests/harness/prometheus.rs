//! A real Prometheus with the rules that operators are given, in a hurry: each of their minutes is a second.

use std::{
    collections::BTreeSet,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use regex::Regex;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{client::Client, database::free_port};

/// The rules.
pub(crate) const RULES: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/ops/prometheus/playhouse.rules.yml"
);

/// Whatever shall happen happens within this time.
const PATIENCE: Duration = Duration::from_secs(300);

/// An alert is looked at for so long: no other comes after it. Longer than any in the rules lets itself be waited for, but one.
const LOOKED_AT: Duration = Duration::from_secs(6);

/// These a machine causes that is too busy for seconds which stand for minutes: they may come by themselves, but not stay.
const BY_SLOWNESS: [&str; 3] = [
    "PlayhouseCommitSlow",
    "PlayhouseDown",
    "PlayhouseShardsWithoutOwner",
];

/// What to do where it is missing.
const MISSING: &str = "`ops/ci/test` installs Prometheus (Debian: apt-get install prometheus)";

const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Runs it until standard input ends, with this test program for example.
const GUARD: &str = r#""$@" </dev/null & pid=$!; read -r _; kill "$pid"; wait "$pid""#;

/// Whatever one test does to the machine must not look like trouble to many others: few at a time.
static TURNS: Semaphore = Semaphore::const_new(2);

/// A running Prometheus. Ends when dropped.
pub(crate) struct Prometheus {
    client: Client,
    guard: Child,
    _folder: TempDir,
    _turn: SemaphorePermit<'static>,
}

impl Prometheus {
    /// Starts one that watches what answers at these URLs. How full the disk is that the tests were given is nobody's concern.
    pub(crate) async fn watching(bases: &[&str]) -> Self {
        Self::start(bases, "playhouse_disk_.*").await
    }

    /// The same, and the disk is its concern.
    pub(crate) async fn watching_disks(bases: &[&str]) -> Self {
        Self::start(bases, "nothing").await
    }

    async fn start(bases: &[&str], unseen: &str) -> Self {
        // Who lacks it hears of it at once.
        let known = Command::new("prometheus").arg("--version").output();
        assert!(known.is_ok_and(|known| known.status.success()), "{MISSING}");
        let turn = TURNS.acquire().await.expect("it is never closed");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let targets = bases.iter().map(|base| base.trim_start_matches("http://"));
        let targets: Vec<_> = targets.map(|target| format!("\"{target}\"")).collect();
        let config = format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 500ms}}\n\
             rule_files: [rules.yml]\n\
             scrape_configs:\n  - job_name: playhouse\n    static_configs: [{{targets: [{}]}}]\n    \
             metric_relabel_configs: [{{source_labels: [__name__], regex: \"{unseen}\", action: drop}}]\n",
            targets.join(", ")
        );
        write(folder.path(), "prometheus.yml", &config);
        let rules = std::fs::read_to_string(RULES).expect("the rules can be read");
        write(folder.path(), "rules.yml", &hurried(&rules));
        let address = format!("127.0.0.1:{}", free_port());
        let guard = Command::new("sh")
            .args(["-c", GUARD, "sh", "prometheus"])
            .arg("--config.file=prometheus.yml")
            .arg("--storage.tsdb.path=data")
            .arg(format!("--web.listen-address={address}"))
            .arg("--log.level=warn")
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .spawn()
            .expect("a shell starts");
        let prometheus = Self {
            client: Client::new(&format!("http://{address}")),
            guard,
            _folder: folder,
            _turn: turn,
        };
        prometheus.await_answers(bases.len()).await;
        prometheus
    }

    /// Waits until it has heard of everybody.
    async fn await_answers(&self, targets: usize) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let path = "/api/v1/query?query=up%20%3D%3D%201";
            let asked = self.client.try_request(reqwest::Method::GET, path, None);
            if let Ok(answer) = asked.await
                && answer.body["data"]["result"].as_array().map(Vec::len) == Some(targets)
            {
                return;
            }
            assert!(Instant::now() < deadline, "Prometheus sees nothing");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// The alerts that fire now.
    async fn firing(&self) -> BTreeSet<String> {
        let told = self.client.get("/api/v1/alerts").await.ok();
        let alerts = told["data"]["alerts"].as_array().expect("a list");
        let firing = alerts.iter().filter(|alert| alert["state"] == "firing");
        let names = firing.filter_map(|alert| alert["labels"]["alertname"].as_str());
        names.map(ToOwned::to_owned).collect()
    }

    /// Waits until all is well for a while. At once only what comes of slowness may be otherwise.
    pub(crate) async fn is_quiet(&self) {
        let deadline = Instant::now() + PATIENCE;
        let mut since = Instant::now();
        while since.elapsed() < LOOKED_AT {
            let firing = self.firing().await;
            let trouble = without_slowness(&firing);
            assert!(trouble.is_empty(), "nothing has happened yet: {firing:?}");
            if !firing.is_empty() {
                since = Instant::now();
            }
            assert!(Instant::now() < deadline, "it is never quiet: {firing:?}");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Waits for an alert, does something again and again meanwhile, and fails the test if any other comes. In the end nothing else fires for a while, not even
    /// what comes of slowness.
    #[expect(
        clippy::print_stdout,
        reason = "which alerts were seen to fire belongs into the test's output"
    )]
    pub(crate) async fn only_fires(&self, name: &str, again: impl AsyncFn()) {
        let (begun, deadline) = (Instant::now(), Instant::now() + PATIENCE);
        let mut since: Option<Instant> = None;
        loop {
            again().await;
            let mut firing = self.firing().await;
            let is_firing = firing.remove(name);
            let others = without_slowness(&firing);
            assert!(others.is_empty(), "{name} is expected: {firing:?}");
            if !firing.is_empty() {
                println!("beside {name}, by slowness: {firing:?}");
                since = None;
            } else if is_firing && since.get_or_insert_with(Instant::now).elapsed() >= LOOKED_AT {
                println!(
                    "{name} fires, and only it for {LOOKED_AT:?}, {:?} after the deed",
                    begun.elapsed()
                );
                return;
            }
            assert!(Instant::now() < deadline, "{name} never fires alone");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Waits until an expression amounts to something.
    pub(crate) async fn until(&self, expression: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.value(expression).await.is_none() {
            assert!(Instant::now() < deadline, "never: {expression}");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// What an expression amounts to; nothing when it is empty.
    async fn value(&self, expression: &str) -> Option<f64> {
        let path = format!("/api/v1/query?query={}", super::client::encode(expression));
        let told: Value = self.client.get(&path).await.ok();
        let value = told["data"]["result"][0]["value"][1].as_str()?;
        value.parse().ok()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
    }
}

fn without_slowness(firing: &BTreeSet<String>) -> Vec<&str> {
    let firing = firing.iter().map(String::as_str);
    firing.filter(|name| !BY_SLOWNESS.contains(name)).collect()
}

/// The rules with a second for each minute: in `for:`, in ranges, and where an age stands as `* 60`.
fn hurried(rules: &str) -> String {
    let span = Regex::new(r"(for: |\[)(\d+)([mh])").expect("an expression");
    let sooner = span.replace_all(rules, |found: &regex::Captures<'_>| {
        let unit = if &found[3] == "h" { "m" } else { "s" };
        format!("{}{}{unit}", &found[1], &found[2])
    });
    let age = Regex::new(r" \* 60\b").expect("an expression");
    age.replace_all(&sooner, " * 1").into_owned()
}

fn write(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).expect("it can be written");
}

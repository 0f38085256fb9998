//! A real Sygnal on a free loopback port, led to providers that stand on this machine.

use std::{
    fs::File,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::super::provider::Provider;
use crate::harness::{Client, database::free_port, wish};

/// Sygnal on a busy machine takes so long to start at most.
const DEADLINE: Duration = Duration::from_secs(60);

/// The Python that has Sygnal; without it the test is not run, and says so.
#[expect(
    clippy::print_stdout,
    reason = "who runs the tests should know what was not tested"
)]
pub(crate) fn python() -> Option<String> {
    let python = wish("PLAYHOUSE_TEST_SYGNAL");
    if python.is_none() {
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("a test");
        println!("skipped: {name}: PLAYHOUSE_TEST_SYGNAL names no Python with Sygnal");
    }
    python
}

/// A running Sygnal. Killed when dropped.
pub(crate) struct Sygnal {
    folder: TempDir,
    process: Child,
    base: String,
}

impl Sygnal {
    /// Starts one with these apps. The first provider is Apple, Google and their tokens, the second Apple's sandbox; the first's authority is believed.
    pub(crate) async fn start(python: &str, providers: [&Provider; 2], apps: &Value) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let port = free_port();
        let path = folder.path().join("sygnal.yaml");
        // YAML takes JSON.
        std::fs::write(&path, config(port, apps).to_string()).expect("a file");
        let output = File::create(folder.path().join("output")).expect("a file");
        let errors = output.try_clone().expect("a file");
        let [usual, sandbox] = providers.map(|provider| provider.url().replace("https://", ""));
        let start = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/push/sygnal/start.py");
        let process = Command::new(python)
            .arg(start)
            .current_dir(folder.path())
            .env_clear()
            .env("SYGNAL_CONF", path)
            .env("SSL_CERT_FILE", providers[0].path("ca.pem"))
            .env("PLAYHOUSE_TEST_APNS", usual)
            .env("PLAYHOUSE_TEST_APNS_SANDBOX", sandbox)
            .env("PLAYHOUSE_TEST_FCM", providers[0].url())
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .expect("PLAYHOUSE_TEST_SYGNAL is a program");
        let mut sygnal = Self {
            folder,
            process,
            base: format!("http://127.0.0.1:{port}"),
        };
        sygnal.until_healthy().await;
        sygnal
    }

    async fn until_healthy(&mut self) {
        let client = Client::new(&self.base);
        let end = Instant::now() + DEADLINE;
        while client
            .try_request(Method::GET, "/health", None)
            .await
            .is_err()
        {
            let ended = self.process.try_wait().expect("a state");
            if ended.is_some() || Instant::now() > end {
                panic!("Sygnal never answered; {ended:?}: {}", self.said());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Where it listens.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// What it has to say.
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("output")).unwrap_or_default()
    }
}

impl Drop for Sygnal {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn config(port: u16, apps: &Value) -> Value {
    json!({
        "http": { "port": port, "bind_addresses": ["127.0.0.1"] },
        "log": {
            "setup": {
                "version": 1,
                "handlers": { "output": { "class": "logging.StreamHandler" } },
                "root": { "handlers": ["output"], "level": "WARNING" },
                "disable_existing_loggers": false,
            },
            "access": { "x_forwarded_for": false },
        },
        "apps": apps,
    })
}

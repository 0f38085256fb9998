//! A real gateway process on a free loopback port.

use std::{
    fmt::Write as _,
    fs::OpenOptions,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::provider::Provider;
use crate::harness::{Client, client::Answer};

/// Where homeservers post.
pub(crate) const NOTIFY: &str = "/_matrix/push/v1/notify";

/// What a gateway does is done in less.
const PATIENCE: Duration = Duration::from_secs(120);

/// A setting for tests of what a homeserver is answered: a slow machine's providers have spoken by then.
pub(crate) const PATIENT: &str = "answer_within_ms = 60000";

/// A running gateway. Killed when dropped.
pub(crate) struct TestGateway {
    folder: TempDir,
    database: Option<String>,
    process: Option<Child>,
    address: String,
    /// What it tells in `gateway.log` of its folder, as JSON; without it little, to the test's output.
    log: Option<String>,
}

impl TestGateway {
    /// Starts one with these apps (inline tables), believing a provider's certificate.
    pub(crate) fn start(provider: &Provider, apps: &[String], more: &str) -> Self {
        Self::start_on(None, provider, apps, more)
    }

    /// The same on PostgreSQL.
    pub(crate) fn start_on(
        database: Option<String>,
        provider: &Provider,
        apps: &[String],
        more: &str,
    ) -> Self {
        Self::start_whole((database, None), provider, apps, more)
    }

    /// The same, telling this much (a filter) in `gateway.log` of its folder, as JSON.
    pub(crate) fn start_telling(log: &str, provider: &Provider, apps: &[String]) -> Self {
        Self::start_whole((None, Some(log.to_owned())), provider, apps, "")
    }

    fn start_whole(
        (database, log): (Option<String>, Option<String>),
        provider: &Provider,
        apps: &[String],
        more: &str,
    ) -> Self {
        let mut gateway = Self {
            folder: tempfile::tempdir().expect("a folder"),
            database,
            process: None,
            address: String::new(),
            log,
        };
        gateway.configure(provider, apps, more);
        gateway.launch();
        gateway
    }

    /// Writes its configuration.
    pub(crate) fn configure(&self, provider: &Provider, apps: &[String], more: &str) {
        let mut text = String::new();
        let authority = provider.path("ca.pem");
        let (level, format) = match &self.log {
            Some(level) => (level.as_str(), "json"),
            None => ("warn", "text"),
        };
        let _ = writeln!(
            text,
            "[server]\ndata_dir = '{}'\n[federation]\nextra_ca = '{}'\n[outbound]\nallow_networks = ['127.0.0.1/32']\n[log]\nlevel = '{level}'\nformat = '{format}'",
            self.path("data").display(),
            authority.display(),
        );
        let _ = writeln!(
            text,
            "[push_gateway]\nlisten = '127.0.0.1:0'\napps = [{}]\n{more}",
            apps.join(", ")
        );
        if let Some(database) = &self.database {
            let _ = writeln!(text, "[database]\nurl = '{database}'");
        }
        std::fs::write(self.path("push.toml"), text).expect("a file");
    }

    /// A file of its folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn launch(&mut self) {
        let complaints = match &self.log {
            Some(_) => {
                let path = self.path("gateway.log");
                let file = OpenOptions::new().create(true).append(true).open(path);
                Stdio::from(file.expect("a log"))
            }
            None => Stdio::inherit(),
        };
        let mut process = program(self.folder.path())
            .args(["push-gateway", "--config", "push.toml"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(complaints)
            .spawn()
            .expect("the gateway starts");
        let output = process.stdout.take().expect("standard output is piped");
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if let Some(address) = line.trim().strip_prefix("Push gateway:") {
                    let _ = sender.send(format!("http://{}", address.trim()));
                }
            }
        });
        match receiver.recv_timeout(PATIENCE) {
            Ok(address) => self.address = address,
            Err(error) => panic!(
                "the gateway never said where it listens: {error}; {:?}",
                process.try_wait()
            ),
        }
        self.process = Some(process);
    }

    /// Where it listens: `127.0.0.1:PORT`.
    pub(crate) fn place(&self) -> &str {
        self.address.trim_start_matches("http://")
    }

    /// A homeserver's client.
    pub(crate) fn client(&self) -> Client {
        Client::new(&self.address)
    }

    /// Posts a notification.
    pub(crate) async fn post(&self, notification: Value) -> Answer {
        let body = json!({ "notification": notification });
        self.client().post(NOTIFY, body).await
    }

    /// Posts a notification and gives the pushkeys that are dead.
    pub(crate) async fn notify(&self, notification: Value) -> Vec<String> {
        let answer = self.post(notification).await.ok();
        serde_json::from_value(answer["rejected"].clone()).expect("a list of pushkeys")
    }

    /// Waits until a gateway's figures say all this.
    pub(crate) async fn tells(client: &Client, wanted: &[&str]) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (status, figures) = client.text("/metrics").await;
            assert_eq!(status, 200);
            let is_told = |wanted: &&str| figures.lines().any(|line| line == *wanted);
            if wanted.iter().all(is_told) {
                return figures;
            }
            assert!(Instant::now() < deadline, "{wanted:?}: {figures}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until nothing waits.
    pub(crate) async fn is_idle(&self) {
        Self::tells(&self.client(), &["playhouse_push_waiting 0"]).await;
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("the process can be killed");
            process.wait().expect("the process ends");
        }
    }

    /// SIGHUP.
    pub(crate) fn hang_up(&self) {
        self.signal("-HUP");
    }

    /// SIGTERM, and waits until it has ended in order.
    pub(crate) fn stop(&mut self) {
        self.signal("-TERM");
        let mut process = self.process.take().expect("it runs");
        let status = process.wait().expect("the process ends");
        assert!(status.success(), "the gateway ended with {status}");
    }

    fn signal(&self, signal: &str) {
        let process = self.process.as_ref().expect("it runs");
        let id = process.id().to_string();
        let status = Command::new("kill").args([signal, &id]).status();
        assert!(status.expect("kill runs").success());
    }

    /// Starts again on the same data, on another port.
    pub(crate) fn start_again(&mut self) {
        assert!(self.process.is_none(), "it still runs");
        self.launch();
    }
}

impl Drop for TestGateway {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The program, in a folder.
pub(crate) fn program(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_playhouse"));
    command.current_dir(folder).env_clear();
    command
}

/// A key for tokens of APNs, in a file.
pub(crate) fn write_ec_key(path: &Path) -> rcgen::KeyPair {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key");
    std::fs::write(path, key.serialize_pem()).expect("a file");
    key
}

/// An app on APNs whose tokens are signed by `key.p8` in the provider's folder.
pub(crate) fn apns_app(provider: &Provider, more: &str) -> String {
    let key = provider.path("key.p8");
    if !key.exists() {
        write_ec_key(&key);
    }
    format!(
        "{{ id = 'org.example.ios', kind = 'apns', url = '{}', key_file = '{}', key_id = 'KEY', team_id = 'TEAM', topic = 'org.example'{more} }}",
        provider.url(),
        key.display(),
    )
}

/// A message for one device.
pub(crate) fn message(event_id: &str, pushkey: &str) -> Value {
    json!({
        "event_id": event_id, "room_id": "!room:example.org", "type": "m.room.message",
        "sender": "@tom:example.org", "sender_display_name": "Major Tom", "room_name": "Mission Control",
        "content": { "msgtype": "m.text", "body": "floating" }, "counts": { "unread": 2 },
        "devices": [{ "app_id": "org.example.ios", "pushkey": pushkey, "pushkey_ts": 1_000, "data": {} }],
    })
}

//! A real Synapse under a name of a town.

use std::{
    fs::File,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Client, Town, server::SHARED_SECRET, town::House};

/// Synapse on a busy machine takes so long to start at most.
const DEADLINE: Duration = Duration::from_secs(300);

/// Where clients ask it, at its address.
const CLIENT_PORT: u16 = 8008;

/// A running Synapse on SQLite. Killed when dropped.
pub(crate) struct Synapse {
    folder: TempDir,
    clients: SocketAddr,
    process: Option<Child>,
}

impl Synapse {
    /// Starts one under a name of a town whose servers are called like their addresses: it has no other way to be told where others are.
    pub(crate) async fn start(town: &Town, name: &str) -> Self {
        Self::start_with(town, name, json!({})).await
    }

    /// The same with further settings.
    pub(crate) async fn start_with(town: &Town, name: &str, settings: Value) -> Self {
        let house = town.house(name);
        let folder = folder();
        let clients = SocketAddr::new(house.address.ip(), CLIENT_PORT);
        let mut config = config(folder.path(), house, &town.authority());
        for (key, value) in settings.as_object().into_iter().flatten() {
            config[key.as_str()] = value.clone();
        }
        let write = |name: &str, text: String| {
            std::fs::write(folder.path().join(name), text).expect("the file is written");
        };
        // YAML takes JSON.
        write("homeserver.yaml", config.to_string());
        write("log.yaml", logging(&logs().join(name)).to_string());
        let seed = STANDARD_NO_PAD.encode(rand::random::<[u8; 32]>());
        write("signing.key", format!("ed25519 a_town {seed}\n"));
        let mut synapse = Self {
            folder,
            clients,
            process: None,
        };
        synapse.launch().await;
        synapse
    }

    async fn launch(&mut self) {
        let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools");
        let output = File::create(self.folder.path().join("output")).expect("a file");
        let errors = output.try_clone().expect("a file");
        let process = Command::new(tools.join("synapse/bin/python"))
            .args([
                "-m",
                "synapse.app.homeserver",
                "--config-path",
                "homeserver.yaml",
            ])
            .current_dir(self.folder.path())
            .env_clear()
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .expect("Synapse starts: `ops/ci/test` installs it");
        let process = self.process.insert(process);
        let client = Client::new(&format!("http://{}", self.clients));
        let end = Instant::now() + DEADLINE;
        while client
            .try_request(Method::GET, "/health", None)
            .await
            .is_err()
        {
            let ended = process.try_wait().expect("a state");
            if ended.is_some() || Instant::now() > end {
                let said = std::fs::read_to_string(self.folder.path().join("output"));
                panic!("Synapse never answered; {ended:?}: {said:?}");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Where clients ask it.
    pub(crate) fn base(&self) -> String {
        format!("http://{}", self.clients)
    }

    /// A client of a new account.
    pub(crate) async fn register(&self, localpart: &str) -> Client {
        Client::register(&self.base(), localpart).await
    }

    /// SIGKILL: nothing is flushed, nobody is told.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("the process can be killed");
            process.wait().expect("the process ends");
        }
    }

    /// SIGTERM, and waits until it has ended in order.
    pub(crate) fn stop(&mut self) {
        let Some(mut process) = self.process.take() else {
            return;
        };
        let status = Command::new("kill").arg(process.id().to_string()).status();
        assert!(status.expect("kill runs").success());
        process.wait().expect("the process ends");
    }

    /// Starts again on the same data, at the same place.
    pub(crate) async fn start_again(&mut self) {
        assert!(self.process.is_none(), "it still runs");
        self.launch().await;
    }

    /// Kills it and removes its folder and its town's when this test program has ended, however it ended: for one that is never dropped.
    pub(crate) fn end_with_program(&self, town: &Town) -> Child {
        let process = self.process.as_ref().expect("it runs");
        let folders = [self.folder.path(), town.folder()];
        super::process::end_with_program(&[process.id()], &folders)
    }
}

impl Drop for Synapse {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A folder in memory where the machine has such: Synapse waits for the disk with each event.
fn folder() -> TempDir {
    let memory = tempfile::tempdir_in("/dev/shm");
    let folder = memory.or_else(|_| tempfile::tempdir());
    folder.expect("a temporary folder")
}

/// Where every Synapse keeps its log: beside what else is built, for whoever looks after a failed test.
fn logs() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/synapse-logs");
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

fn config(folder: &Path, house: &House, authority: &Path) -> Value {
    let ip = house.address.ip().to_string();
    let listener = |port: u16, is_secret: bool, resources: &[&str]| {
        json!({
            "port": port, "tls": is_secret, "type": "http", "bind_addresses": [&ip],
            "resources": [{"names": resources}]
        })
    };
    let mut config = json!({
        "server_name": house.name,
        "public_baseurl": format!("http://{ip}:{CLIENT_PORT}/"),
        "pid_file": folder.join("pid"),
        "signing_key_path": folder.join("signing.key"),
        "media_store_path": folder.join("media"),
        "log_config": folder.join("log.yaml"),
        "database": {"name": "sqlite3", "args": {"database": folder.join("homeserver.db")}},
        "macaroon_secret_key": "macaroons", "form_secret": "forms",
        "report_stats": false,
        "trusted_key_servers": [],
        "listeners": [
            listener(CLIENT_PORT, false, &["client"]),
            listener(house.address.port(), true, &["federation"]),
        ],
        "tls_certificate_path": house.cert, "tls_private_key_path": house.key,
        "federation_custom_ca_list": [authority],
        "ip_range_blacklist": [],
        "federation": {
            "destination_min_retry_interval": 200, "destination_max_retry_interval": 1000
        },
        "enable_registration": true, "enable_registration_without_verification": true,
        "registration_shared_secret": SHARED_SECRET,
        "bcrypt_rounds": 4,
        "presence": {"enabled": true},
        // Otherwise the same question is answered the same for minutes.
        "caches": {"sync_response_cache_duration": 0},
        "allow_public_rooms_over_federation": true,
        "room_list_publication_rules": [{"action": "allow"}],
    });
    let plenty = json!({"per_second": 100_000, "burst_count": 100_000});
    for name in [
        "rc_message",
        "rc_registration",
        "rc_admin_redaction",
        "rc_joins_per_room",
        "rc_key_requests",
        "rc_media_create",
        "rc_room_creation",
        "rc_profile",
    ] {
        config[name] = plenty.clone();
    }
    config["rc_joins"] = json!({"local": plenty, "remote": plenty});
    config["rc_login"] = json!({"address": plenty, "account": plenty, "failed_attempts": plenty});
    config["rc_invites"] = json!({"per_room": plenty, "per_user": plenty, "per_issuer": plenty});
    config["rc_presence"] = json!({"per_user": plenty});
    config["rc_federation"] = json!({
        "window_size": 1000, "sleep_limit": 100_000, "sleep_delay": 1, "reject_limit": 100_000,
        "concurrent": 100
    });
    config
}

fn logging(file: &Path) -> Value {
    json!({
        "version": 1,
        "formatters": {"plain": {
            "format": "%(asctime)s %(name)s %(levelname)s %(request)s %(message)s"
        }},
        "filters": {"context": {
            "()": "synapse.logging.context.LoggingContextFilter", "request": ""
        }},
        "handlers": {"file": {
            "class": "logging.FileHandler", "filename": file, "formatter": "plain",
            "filters": ["context"]
        }},
        "root": {"level": "INFO", "handlers": ["file"]},
        "disable_existing_loggers": false,
    })
}

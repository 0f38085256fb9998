//! The gateways, each a process with the same apps.

use std::{
    ffi::OsStr,
    fs::File,
    io::{BufRead as _, BufReader},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use aws_lc_rs::agreement::{ECDH_P256, PrivateKey};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{
    provider::Provider,
    trouble::{Outcome, Trouble},
};

/// A gateway on a busy machine takes so long to start at most.
const STARTS_WITHIN: Duration = Duration::from_secs(60);

/// What apps need.
pub(crate) struct Keys {
    apns: PathBuf,
    account: PathBuf,
    vapid: PathBuf,
    /// The public key of a browser. Nobody reads what it gets.
    pub(crate) browser: String,
}

fn trouble(error: impl std::fmt::Display) -> Trouble {
    Trouble::Setup(error.to_string())
}

impl Keys {
    /// New ones, in the provider's folder.
    pub(crate) fn make(provider: &Provider) -> Outcome<Self> {
        let key = |algorithm, name: &str| {
            let key = rcgen::KeyPair::generate_for(algorithm).map_err(trouble)?;
            let (path, text) = (provider.path(name), key.serialize_pem());
            std::fs::write(&path, &text)?;
            Ok::<_, Trouble>((path, text))
        };
        let (apns, _) = key(&rcgen::PKCS_ECDSA_P256_SHA256, "key.p8")?;
        let (vapid, _) = key(&rcgen::PKCS_ECDSA_P256_SHA256, "vapid.pem")?;
        let (_, rsa) = key(&rcgen::PKCS_RSA_SHA256, "account.pem")?;
        let account = provider.path("account.json");
        let file = json!({
            "type": "service_account", "client_email": "push@example.org", "private_key_id": "k1",
            "private_key": rsa, "token_uri": format!("{}/token", provider.url()),
        });
        std::fs::write(&account, file.to_string())?;
        let browser = PrivateKey::generate(&ECDH_P256).map_err(trouble)?;
        let browser = browser.compute_public_key().map_err(trouble)?;
        Ok(Self {
            apns,
            account,
            vapid,
            browser: URL_SAFE_NO_PAD.encode(browser.as_ref()),
        })
    }

    fn toml(&self, provider: &Provider, folder: &Path) -> String {
        let url = provider.url();
        let (apns, account) = (self.apns.display(), self.account.display());
        let (vapid, authority) = (self.vapid.display(), provider.path("ca.pem"));
        format!(
            "[server]\ndata_dir = '{}'\n[federation]\nextra_ca = '{}'\n[outbound]\nallow_networks = ['127.0.0.1/32']\n[log]\nlevel = 'warn'\n\
             [push_gateway]\nlisten = '127.0.0.1:0'\napps = [\n\
             {{ id = 'bench.apns', kind = 'apns', url = '{url}', key_file = '{apns}', key_id = 'K', team_id = 'T', topic = 'bench', push_type = 'alert' }},\n\
             {{ id = 'bench.fcm', kind = 'fcm', url = '{url}', project_id = 'project', service_account_file = '{account}' }},\n\
             {{ id = 'bench.webpush', kind = 'webpush', vapid_private_key = '{vapid}', vapid_contact = 'a@example.org' }},\n]\n",
            folder.join("data").display(),
            authority.display(),
        )
    }

    fn yaml(&self, port: u16) -> Value {
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
            "apps": {
                "bench.apns": {
                    "type": "apns", "keyfile": self.apns, "key_id": "K", "team_id": "T", "topic": "bench", "push_type": "alert",
                },
                "bench.fcm": {
                    "type": "gcm", "api_version": "v1", "project_id": "project", "service_account_file": self.account,
                },
                "bench.webpush": {
                    "type": "webpush", "vapid_private_key": self.vapid, "vapid_contact_email": "a@example.org",
                },
            },
        })
    }
}

/// A running gateway. Killed when dropped.
pub(crate) struct Running {
    /// What it is called.
    pub(crate) name: &'static str,
    /// Where homeservers reach it.
    pub(crate) base: String,
    process: Child,
    _folder: TempDir,
}

impl Running {
    /// Ours, on SQLite.
    pub(crate) fn playhouse(
        (binary, cores): (&Path, Option<&str>),
        provider: &Provider,
        keys: &Keys,
    ) -> Outcome<Self> {
        let folder = tempfile::tempdir()?;
        let config = keys.toml(provider, folder.path());
        std::fs::write(folder.path().join("push.toml"), config)?;
        let mut process = command(binary.as_os_str(), cores)
            .args(["push-gateway", "--config", "push.toml"])
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()?;
        let output = process.stdout.take();
        let mut lines = BufReader::new(output.ok_or_else(|| trouble("no output"))?).lines();
        let address = lines.by_ref().map_while(Result::ok).find_map(|line| {
            let address = line.trim().strip_prefix("Push gateway:")?;
            Some(address.trim().to_owned())
        });
        // The pipe must never fill.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        let Some(address) = address else {
            // It has said why, and ends by itself if it has not.
            let _ = process.kill();
            let _ = process.wait();
            return Err(trouble("the gateway does not start"));
        };
        Ok(Self {
            name: "playhouse",
            base: format!("http://{address}"),
            process,
            _folder: folder,
        })
    }

    /// Sygnal, led to the provider.
    pub(crate) fn sygnal(
        (python, cores): (&Path, Option<&str>),
        provider: &Provider,
        keys: &Keys,
    ) -> Outcome<Self> {
        let folder = tempfile::tempdir()?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let config = folder.path().join("sygnal.yaml");
        // YAML takes JSON.
        std::fs::write(&config, keys.yaml(port).to_string())?;
        let start = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/push/sygnal/start.py");
        let output = File::create(folder.path().join("output"))?;
        let errors = output.try_clone()?;
        let apple = provider.url().replace("https://", "");
        let process = command(python.as_os_str(), cores)
            .arg(start)
            .current_dir(folder.path())
            .env("SYGNAL_CONF", config)
            .env("SSL_CERT_FILE", provider.path("ca.pem"))
            .env("PLAYHOUSE_TEST_APNS", &apple)
            .env("PLAYHOUSE_TEST_APNS_SANDBOX", &apple)
            .env("PLAYHOUSE_TEST_FCM", provider.url())
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()?;
        Ok(Self {
            name: "sygnal",
            base: format!("http://127.0.0.1:{port}"),
            process,
            _folder: folder,
        })
    }

    /// Waits until it answers.
    pub(crate) async fn until_healthy(&self) -> Outcome<()> {
        let end = Instant::now() + STARTS_WITHIN;
        let url = format!("{}/health", self.base);
        while reqwest::get(&url).await.is_err() {
            if Instant::now() > end {
                return Err(trouble(format!("{} does not start", self.name)));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn command(program: &OsStr, cores: Option<&str>) -> Command {
    match cores {
        Some(cores) => {
            let mut command = Command::new("taskset");
            command.args(["-c", cores]).arg(program);
            command
        }
        None => Command::new(program),
    }
}

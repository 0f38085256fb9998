//! A private PostgreSQL for the tests, with a database for each that asks.

use std::{
    fs::{OpenOptions, Permissions},
    io::Write as _,
    ops::Range,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::wishes::is_durable;

/// PostgreSQL answers this long after it was started at the latest.
const ANSWERS_WITHIN: Duration = Duration::from_secs(180);

/// The files of what is shown to who wants TLS.
const CERTIFICATE: &str = "server.crt";
const KEY: &str = "server.key";
const AUTHORITY: &str = "clients.crt";

/// Ports for who is told where to listen: below those that the kernel gives away, which any connection may take in the meantime.
const PORTS: Range<u32> = 12_000..32_000;

/// Processes die in tests and the machine does not: waiting for the disk would show nothing. Hundreds of databases need not be looked into in turn.
const HURRIED: [&str; 4] = [
    "max_connections=1000",
    "shared_buffers=64MB",
    "fsync=off",
    "autovacuum_naptime=30min",
];

/// Of what is measured: as operators have it, and as `ops/cluster` starts it.
const DURABLE: [&str; 2] = ["max_connections=1000", "shared_buffers=128MB"];

/// Runs PostgreSQL: ends it when this test program has ended, however it ended, and starts it again when it is told a signal and a time to wait.
const GUARD: &str = r#"data=$1; shift
end() { kill -"$1" "$(head -n 1 "$data/postmaster.pid")" || kill "$pid"; wait "$pid"; }
while :; do
  "$@" & pid=$!
  read -r signal pause || { end INT; exit; }
  end "$signal"
  sleep "$pause"
done"#;

/// The databases of this test program.
pub(crate) struct Database;

impl Database {
    /// Makes fresh databases for one house and gives their URLs with commas between.
    pub(crate) fn create_several(count: usize) -> String {
        let urls: Vec<_> = (0..count).map(|_| Self::create()).collect();
        urls.join(",")
    }

    /// Makes a fresh database and gives its URL.
    pub(crate) fn create() -> String {
        let postgres = SHARED.get_or_init(|| Postgres::start(&[], "127.0.0.1"));
        postgres.create()
    }
}

/// A PostgreSQL that runs until it is dropped.
pub(crate) struct Postgres {
    host: String,
    port: u16,
    binaries: PathBuf,
    guard: Child,
    folder: TempDir,
}

static SHARED: OnceLock<Postgres> = OnceLock::new();
static NEXT: AtomicU64 = AtomicU64::new(1);
static NEXT_PORT: AtomicU32 = AtomicU32::new(0);

impl Postgres {
    /// Starts one that listens at an address. What its command line begins with may put it where that address is.
    pub(crate) fn start(runner: &[String], host: &str) -> Self {
        Self::start_in(tempfile::tempdir(), runner, host)
    }

    /// Starts one that speaks TLS to who wants it, shows this certificate with this key, and believes whom the authority vouches for (PEM).
    pub(crate) fn start_with_tls(certificate: &str, key: &str, authority: &str) -> Self {
        let folder = tempfile::tempdir().and_then(|folder| {
            std::fs::write(folder.path().join(CERTIFICATE), certificate)?;
            std::fs::write(folder.path().join(AUTHORITY), authority)?;
            let key_path = folder.path().join(KEY);
            std::fs::write(&key_path, key)?;
            std::fs::set_permissions(&key_path, Permissions::from_mode(0o600))?;
            Ok(folder)
        });
        Self::start_in(folder, &[], "127.0.0.1")
    }

    /// Starts one in a folder of its own. It speaks TLS if there is a certificate in it.
    fn start_in(folder: std::io::Result<TempDir>, runner: &[String], host: &str) -> Self {
        let binaries = binaries();
        let folder = folder.expect("a temporary folder");
        let data = folder.path().join("data");
        let as_root = is_root();
        if as_root {
            // PostgreSQL refuses to run as root.
            std::fs::create_dir(&data).expect("the data folder can be made");
            run(Command::new("chown")
                .arg("-R")
                .arg("postgres")
                .arg(folder.path()));
        }
        let words = |name: &str| -> Vec<String> {
            let place = binaries.join(name).display().to_string();
            let runuser = ["runuser", "-u", "postgres", "--"].map(ToOwned::to_owned);
            let runuser = runuser.into_iter().filter(|_| as_root);
            runuser.chain([place]).collect()
        };
        let initdb = words("initdb");
        run(Command::new(&initdb[0])
            .args(&initdb[1..])
            .args([
                "--auth=trust",
                "--username=postgres",
                "--encoding=UTF8",
                "--locale=C",
                "--no-sync",
                "-D",
            ])
            .arg(&data));
        if !runner.is_empty() {
            let_in_others(&data);
        }
        let port = free_port();
        let guard = Command::new("sh")
            .args(["-c", GUARD, "sh"])
            .arg(&data)
            .args(runner)
            .args(words("postgres"))
            .arg("-D")
            .arg(&data)
            .args(["-h", host, "-p", &port.to_string(), "-k", ""])
            .args(settings().iter().flat_map(|setting| ["-c", *setting]))
            .args(tls_settings(folder.path()))
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("PostgreSQL starts");
        let postgres = Self {
            host: host.to_owned(),
            port,
            binaries,
            guard,
            folder,
        };
        postgres.await_answer();
        postgres
    }

    /// Makes a fresh database and gives its URL.
    pub(crate) fn create(&self) -> String {
        let (host, port) = (&self.host, self.port);
        let name = format!("playhouse_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let admin = format!("host={host} port={port} user=postgres dbname=postgres");
        // The blocking client must not run on a tokio thread.
        let made = name.clone();
        std::thread::spawn(move || {
            let mut client =
                postgres::Client::connect(&admin, postgres::NoTls).expect("PostgreSQL answers");
            client
                .batch_execute(&format!("CREATE DATABASE {made}"))
                .expect("a database can be made");
        })
        .join()
        .expect("the database was made");
        format!("postgres://postgres@{host}:{port}/{name}")
    }

    /// Ends it by a signal (`INT` in order, `QUIT` without), starts it again so many milliseconds later, and waits until it answers.
    pub(crate) fn restart(&self, signal: &str, pause_ms: u64) {
        let mut input = self.guard.stdin.as_ref().expect("standard input is piped");
        let before = self.postmaster();
        let (seconds, rest) = (pause_ms / 1_000, pause_ms % 1_000);
        let line = format!("{signal} {seconds}.{rest:03}\n");
        input.write_all(line.as_bytes()).expect("the guard reads");
        let deadline = Instant::now() + ANSWERS_WITHIN;
        // Whether it answers tells nothing: on a busy machine it may be back between two questions.
        while self.postmaster() == before {
            assert!(Instant::now() < deadline, "PostgreSQL does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
        self.await_answer();
    }

    /// The number of the process that runs, as its data folder tells it.
    fn postmaster(&self) -> Option<String> {
        let file = self.folder.path().join("data").join("postmaster.pid");
        let told = std::fs::read_to_string(file).ok()?;
        told.lines().next().map(ToOwned::to_owned)
    }

    fn await_answer(&self) {
        let deadline = Instant::now() + ANSWERS_WITHIN;
        while !self.answers() {
            assert!(Instant::now() < deadline, "PostgreSQL never answered");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn answers(&self) -> bool {
        let (host, port) = (&*self.host, self.port);
        std::net::TcpStream::connect((host, port)).is_ok()
            && Command::new(self.binaries.join("pg_isready"))
                .args(["-q", "-h", host, "-p", &port.to_string()])
                .status()
                .is_ok_and(|status| status.success())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
    }
}

/// What is said of TLS on the command line.
fn tls_settings(folder: &Path) -> Vec<String> {
    let files = [CERTIFICATE, KEY, AUTHORITY];
    let [certificate, key, authority] = files.map(|name| folder.join(name));
    if !certificate.exists() {
        return Vec::new();
    }
    let settings = [
        "ssl=on".to_owned(),
        format!("ssl_cert_file={}", certificate.display()),
        format!("ssl_key_file={}", key.display()),
        format!("ssl_ca_file={}", authority.display()),
    ];
    let words = settings.into_iter();
    words
        .flat_map(|setting| ["-c".to_owned(), setting])
        .collect()
}

fn settings() -> &'static [&'static str] {
    if is_durable() { &DURABLE } else { &HURRIED }
}

/// Who has another address is let in, too: the network of the tests.
fn let_in_others(data: &Path) {
    let file = OpenOptions::new()
        .append(true)
        .open(data.join("pg_hba.conf"));
    let mut file = file.expect("the rules of access can be changed");
    let written = file.write_all(b"host all all 198.18.0.0/15 trust\n");
    written.expect("the rules of access can be changed");
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output();
    output.is_ok_and(|output| output.stdout.starts_with(b"0\n"))
}

fn run(command: &mut Command) {
    let output = command.current_dir("/").output().expect("the command runs");
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Where `initdb` and `postgres` are.
fn binaries() -> PathBuf {
    let mut found: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|folder| folder.join("initdb").exists())
        .collect();
    found.extend(["/usr/local/pgsql/bin", "/usr/local/bin", "/usr/bin"].map(PathBuf::from));
    let place = found
        .into_iter()
        .find(|folder| folder.join("initdb").exists() && folder.join("postgres").exists());
    place.expect("PostgreSQL is not installed: `ops/ci/test` installs it (Debian: apt-get install postgresql)")
}

/// A port that nobody listens on. No other test of this program is given it.
pub(crate) fn free_port() -> u16 {
    // Two runs of the program at the same time begin at different places.
    let first = std::process::id().wrapping_mul(97);
    let mut tries = PORTS;
    let free = tries.find_map(|_| {
        let turn = first.wrapping_add(NEXT_PORT.fetch_add(1, Ordering::Relaxed));
        let port = PORTS.start + turn % (PORTS.end - PORTS.start);
        let port = u16::try_from(port).ok()?;
        let listener = std::net::TcpListener::bind(("127.0.0.1", port));
        listener.is_ok().then_some(port)
    });
    free.expect("a free port")
}

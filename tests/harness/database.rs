//! A private PostgreSQL for the tests, with a database for each that asks.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// The databases of this test program.
pub(crate) struct Database;

struct Cluster {
    port: u16,
    _folder: TempDir,
    _guard: Child,
}

static CLUSTER: OnceLock<Cluster> = OnceLock::new();
static NEXT: AtomicU64 = AtomicU64::new(1);

impl Database {
    /// Makes fresh databases for one house and gives their URLs with commas between.
    pub(crate) fn create_several(count: usize) -> String {
        let urls: Vec<_> = (0..count).map(|_| Self::create()).collect();
        urls.join(",")
    }

    /// Makes a fresh database and gives its URL.
    pub(crate) fn create() -> String {
        let port = CLUSTER.get_or_init(start).port;
        let name = format!("playhouse_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let admin = format!("host=127.0.0.1 port={port} user=postgres dbname=postgres");
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
        format!("postgres://postgres@127.0.0.1:{port}/{name}")
    }
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output();
    output.is_ok_and(|output| output.stdout.starts_with(b"0\n"))
}

fn start() -> Cluster {
    let binaries = binaries();
    let folder = tempfile::tempdir().expect("a temporary folder");
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
    let program = |name: &str| {
        let path = binaries.join(name);
        if !as_root {
            return Command::new(path);
        }
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--"]).arg(path);
        command
    };
    run(program("initdb")
        .args([
            "--auth=trust",
            "--username=postgres",
            "--encoding=UTF8",
            "--locale=C",
            "-D",
        ])
        .arg(&data));
    let port = free_port();
    let server = program("postgres");
    // The shell ends PostgreSQL when this test program has ended, however it ended.
    let script = "\"$@\" & pid=$!; read -r _; kill -INT $pid; wait $pid";
    let guard = Command::new("sh")
        .args(["-c", script, "sh"])
        .arg(server.get_program())
        .args(server.get_args())
        .arg("-D")
        .arg(&data)
        .args([
            "-h",
            "127.0.0.1",
            "-p",
            &port.to_string(),
            "-k",
            "",
            "-c",
            "max_connections=300",
            "-c",
            "shared_buffers=64MB",
        ])
        .current_dir(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("PostgreSQL starts");
    let started = Instant::now();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() || !answers(&binaries, port) {
        assert!(
            started.elapsed() < Duration::from_secs(60),
            "PostgreSQL never answered"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    Cluster {
        port,
        _folder: folder,
        _guard: guard,
    }
}

fn answers(binaries: &Path, port: u16) -> bool {
    let status = Command::new(binaries.join("pg_isready"))
        .args(["-q", "-h", "127.0.0.1", "-p", &port.to_string()])
        .status();
    status.is_ok_and(|status| status.success())
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

/// A port that nobody listens on.
pub(super) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
        .port()
}

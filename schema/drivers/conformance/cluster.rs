//! A private PostgreSQL server for the tests of this process.
//!
//! `PLAYHOUSE_TEST_DATABASE` (`postgres://…`) names another server instead. Each test gets a database of its own.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::fs::MetadataExt as _,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use postgres::{Config, NoTls};

/// The server lives as long as its standard input is open, that is as long as this process. Clearing up after it may take minutes, for which nobody waits who
/// waits for the end of the output.
const SCRIPT: &str = r#"
folder=$(mktemp -d) || exit 1
"$0/initdb" -D "$folder/data" -U playhouse -A trust -E UTF8 --locale=C --no-sync >"$folder/initdb.log" 2>&1 || { cat "$folder/initdb.log" >&2; exit 1; }
"$0/postgres" -D "$folder/data" -k "$folder" -c listen_addresses= -c max_connections=400 -c fsync=off >"$folder/server.log" 2>&1 </dev/null &
server=$!
echo "$folder"
exec >/dev/null 2>&1
read -r _
kill -INT "$server"
wait "$server"
rm -rf "$folder"
"#;

struct Server {
    address: Config,
    /// Its standard input stays open as long as this process lives.
    _script: Option<Child>,
}

static SERVER: OnceLock<Server> = OnceLock::new();

/// An address in the form that the driver takes, of a new and empty database.
pub(super) fn new_database() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!(
        "playhouse_test_{}_{}",
        std::process::id(),
        COUNT.fetch_add(1, Ordering::Relaxed)
    );
    let server = SERVER.get_or_init(start);
    let mut client = server.address.connect(NoTls).unwrap();
    client
        .batch_execute(&format!("DROP DATABASE IF EXISTS {name}"))
        .unwrap();
    client
        .batch_execute(&format!("CREATE DATABASE {name}"))
        .unwrap();
    describe(&server.address, &name)
}

fn describe(config: &Config, database: &str) -> String {
    let mut text = format!("dbname={database}");
    for host in config.get_hosts() {
        match host {
            postgres::config::Host::Tcp(host) => text += &format!(" host={host}"),
            postgres::config::Host::Unix(folder) => text += &format!(" host={}", folder.display()),
        }
    }
    for port in config.get_ports() {
        text += &format!(" port={port}");
    }
    if let Some(user) = config.get_user() {
        text += &format!(" user={user}");
    }
    if let Some(password) = config.get_password() {
        text += &format!(" password='{}'", String::from_utf8_lossy(password));
    }
    text
}

#[expect(
    clippy::disallowed_methods,
    reason = "tests are told by the environment where a server is"
)]
fn start() -> Server {
    if let Ok(address) = std::env::var("PLAYHOUSE_TEST_DATABASE") {
        return Server {
            address: address.parse().unwrap(),
            _script: None,
        };
    }
    let path = std::env::var("PATH").unwrap_or_default();
    let programs = find_programs(&path);
    // PostgreSQL refuses to run as root.
    let mut command = if fs::metadata("/proc/self").unwrap().uid() == 0 {
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--", "sh"]);
        command
    } else {
        Command::new("sh")
    };
    let mut child = command
        .args(["-c", SCRIPT])
        .arg(&programs)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut folder = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut folder)
        .unwrap();
    assert!(!folder.is_empty(), "initdb failed");
    let mut address = Config::new();
    address
        .host_path(folder.trim())
        .user("playhouse")
        .dbname("postgres");
    let deadline = Instant::now() + Duration::from_secs(180);
    while let Err(error) = address.connect(NoTls) {
        assert!(Instant::now() < deadline, "no server: {error}");
        std::thread::sleep(Duration::from_millis(20));
    }
    Server {
        address,
        _script: Some(child),
    }
}

fn find_programs(path: &str) -> PathBuf {
    let mut versions: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .map(|entries| {
            entries
                .flatten()
                .map(|entry| entry.path().join("bin"))
                .collect()
        })
        .unwrap_or_default();
    versions.sort();
    versions
        .into_iter()
        .rev()
        .chain(std::env::split_paths(path))
        .find(|folder| folder.join("initdb").exists() && folder.join("postgres").exists())
        .expect(
            "these tests need PostgreSQL's server programs (Debian: apt install postgresql), or PLAYHOUSE_TEST_DATABASE=postgres://… of a running server",
        )
}

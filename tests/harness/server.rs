//! A real server process on a free loopback port.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::Duration,
};

use tempfile::TempDir;

use super::{Client, Database};

/// How a server is started.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    /// A PostgreSQL database, or several with commas between; SQLite in the data folder when absent.
    pub(crate) database: Option<String>,
    /// Further environment variables.
    pub(crate) environment: Vec<(String, String)>,
}

/// A running server. Killed when dropped.
pub(crate) struct TestServer {
    folder: TempDir,
    options: Options,
    process: Option<Child>,
    base: String,
}

/// The shared secret of every test server.
pub(crate) const SHARED_SECRET: &str = "test shared secret";

/// The server name of every test server.
pub(crate) const SERVER_NAME: &str = "playhouse.test";

impl TestServer {
    /// A fresh server; on PostgreSQL when `PLAYHOUSE_TEST_ENGINE=postgres`.
    pub(crate) async fn start() -> Self {
        Self::start_with(Options::default()).await
    }

    /// A fresh server.
    pub(crate) async fn start_with(mut options: Options) -> Self {
        if options.database.is_none() && wants_postgres() {
            options.database = Some(Database::create());
        }
        Self::start_exactly(options)
    }

    /// A fresh server on the engine that the options name, whatever the environment says.
    pub(crate) fn start_exactly(options: Options) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut server = Self {
            folder,
            options,
            process: None,
            base: String::new(),
        };
        server.launch();
        server
    }

    fn launch(&mut self) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_playhouse"));
        command
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", path_variable())
            .env("PLAYHOUSE_SERVER_NAME", SERVER_NAME)
            .env("PLAYHOUSE_DATA_DIR", self.data())
            .env("PLAYHOUSE_LISTEN", "127.0.0.1:0")
            .env("PLAYHOUSE_REGISTRATION_SHARED_SECRET", SHARED_SECRET)
            .env("PLAYHOUSE_ENABLE_REGISTRATION", "true")
            .env("PLAYHOUSE_RATE_LIMITS", "off")
            // Nobody outside is asked for anything.
            .env("PLAYHOUSE_FEDERATION_NOTARIES", "")
            .env("PLAYHOUSE_LOG", "warn")
            .envs(self.options.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit());
        if let Some(database) = &self.options.database {
            name_database(&mut command, database);
        }
        let mut process = command.spawn().expect("the server starts");
        let output = process.stdout.take().expect("standard output is piped");
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if let Some(base) = base_url(&line) {
                    let _ = sender.send(base);
                }
            }
        });
        match receiver.recv_timeout(Duration::from_secs(30)) {
            Ok(base) => self.base = base,
            Err(error) => panic!(
                "the server never said where it listens: {error}; {:?}",
                process.try_wait()
            ),
        }
        self.process = Some(process);
    }

    /// Where it listens: `http://127.0.0.1:PORT`.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// Its data folder.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The database it uses, when that is PostgreSQL.
    pub(crate) fn database(&self) -> Option<&str> {
        self.options.database.as_deref()
    }

    /// A client without an account.
    pub(crate) fn client(&self) -> Client {
        Client::new(&self.base)
    }

    /// A client of a new account.
    pub(crate) async fn register(&self, localpart: &str) -> Client {
        Client::register(&self.base, localpart).await
    }

    /// What the process has read so far from files and sockets, cached or not, by the kernel's count.
    pub(crate) fn bytes_read(&self) -> u64 {
        let process = self.process.as_ref().expect("it runs");
        let counts = std::fs::read_to_string(format!("/proc/{}/io", process.id()));
        let counts = counts.expect("the kernel counts");
        let read = counts.lines().find_map(|line| line.strip_prefix("rchar: "));
        read.and_then(|bytes| bytes.parse().ok())
            .expect("a number of bytes")
    }

    /// The memory that the process holds now.
    pub(crate) fn resident_bytes(&self) -> u64 {
        self.memory_bytes("VmRSS:")
    }

    /// The most memory that the process has held since it was started.
    pub(crate) fn peak_bytes(&self) -> u64 {
        self.memory_bytes("VmHWM:")
    }

    fn memory_bytes(&self, count: &str) -> u64 {
        let process = self.process.as_ref().expect("it runs");
        let status = std::fs::read_to_string(format!("/proc/{}/status", process.id()));
        let status = status.expect("the kernel counts");
        let held = status
            .lines()
            .find_map(|line| line.strip_prefix(count)?.trim().strip_suffix(" kB"));
        held.and_then(|kilobytes| kilobytes.parse::<u64>().ok())
            .expect("a number of kilobytes")
            * 1024
    }

    /// The time that the process has computed.
    pub(crate) fn cpu_time(&self) -> Duration {
        let process = self.process.as_ref().expect("it runs");
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.id()));
        let stat = stat.expect("the kernel counts");
        // Behind the name, which may have anything in it; in hundredths of seconds.
        let (_, fields) = stat.rsplit_once(')').expect("a name");
        let fields = fields.split_whitespace().skip(11).take(2);
        let ticks = fields.map(|field| field.parse::<u64>().expect("a number"));
        Duration::from_millis(ticks.sum::<u64>() * 10)
    }

    /// Kills the server and removes its folder when this test program has ended, however it ended: for servers that are never dropped.
    pub(crate) fn end_with_program(&self) -> Child {
        let process = self.process.as_ref().expect("it runs");
        end_with_program(process.id(), &[self.folder.path()])
    }

    /// SIGKILL: nothing is flushed, nobody is told.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("the process can be killed");
            process.wait().expect("the process ends");
        }
    }

    /// SIGSTOP: it keeps its connections and does nothing.
    pub(crate) fn suspend(&self) {
        self.signal("-STOP");
    }

    /// SIGCONT.
    pub(crate) fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let process = self.process.as_ref().expect("it runs");
        let id = process.id().to_string();
        let status = Command::new("kill").args([signal, &id]).status();
        assert!(status.expect("kill runs").success());
    }

    /// SIGTERM, and waits until it has ended in order.
    pub(crate) fn stop(&mut self) {
        let Some(mut process) = self.process.take() else {
            return;
        };
        let status = Command::new("kill").arg(process.id().to_string()).status();
        assert!(status.expect("kill runs").success());
        let status = process.wait().expect("the process ends");
        assert!(status.success(), "the server ended with {status}");
    }

    /// Starts again on the same data, on another port.
    pub(crate) fn start_again(&mut self) {
        assert!(self.process.is_none(), "it still runs");
        self.launch();
    }

    /// From the next start on a variable has another value.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        let environment = &mut self.options.environment;
        environment.retain(|(known, _)| known != name);
        environment.push((name.to_owned(), value.to_owned()));
    }

    /// Starts again on the same data.
    pub(crate) fn restart(&mut self) {
        self.stop();
        self.launch();
    }

    /// From the next start on it uses another database: PostgreSQL, or SQLite in the data folder.
    pub(crate) fn use_database(&mut self, database: Option<String>) {
        self.options.database = database;
    }

    /// Runs the program's command line on this server's data, the server being stopped: success and standard output with standard error.
    pub(crate) fn command_line(&self, arguments: &[&str]) -> (bool, String) {
        let output = self.command(arguments).output().expect("the program runs");
        let text = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        (output.status.success(), text)
    }

    /// The program with a command line, on this server's data.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_playhouse"));
        command
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", path_variable());
        command
            .env("PLAYHOUSE_SERVER_NAME", SERVER_NAME)
            .env("PLAYHOUSE_DATA_DIR", self.data());
        if let Some(database) = &self.options.database {
            name_database(&mut command, database);
        }
        command.args(arguments).stdin(Stdio::null());
        command
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Kills a process and removes folders when this test program has ended, however it ended.
pub(super) fn end_with_program(process: u32, folders: &[&Path]) -> Child {
    Command::new("sh")
        .args([
            "-c",
            "read -r _; kill -9 \"$1\"; shift; rm -rf \"$@\"",
            "sh",
        ])
        .arg(process.to_string())
        .args(folders)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the guard starts")
}

fn base_url(line: &str) -> Option<String> {
    let start = line.find("http://127.")?;
    let rest = &line[start..];
    let end = rest
        .find(|character: char| character.is_whitespace())
        .unwrap_or(rest.len());
    Some(rest[..end].trim_end_matches('/').to_owned())
}

#[expect(
    clippy::disallowed_methods,
    reason = "the test program has no configuration of its own"
)]
fn path_variable() -> String {
    std::env::var("PATH").unwrap_or_default()
}

#[expect(
    clippy::disallowed_methods,
    reason = "the test program has no configuration of its own"
)]
fn wants_postgres() -> bool {
    std::env::var("PLAYHOUSE_TEST_ENGINE").is_ok_and(|engine| engine == "postgres")
}

/// Tells the program where its data is.
fn name_database(command: &mut Command, database: &str) {
    let several = database.contains(',');
    let variable = if several {
        "PLAYHOUSE_DATABASE_URLS"
    } else {
        "PLAYHOUSE_DATABASE"
    };
    command.env(variable, database);
}

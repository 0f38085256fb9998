//! A real server on a free loopback port.

use std::{
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;

use super::{
    Client, Database, Front,
    process::{Process, Starting, end_with_program},
    wishes::nodes_wished,
};

/// How a server is started.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    /// A PostgreSQL database, or several with commas between; SQLite in the data folder when absent.
    pub(crate) database: Option<String>,
    /// Further environment variables.
    pub(crate) environment: Vec<(String, String)>,
    /// A program with arguments that runs the server's; none.
    pub(crate) prefix: Vec<String>,
    /// A file for what it complains about, instead of the test's output.
    pub(crate) log: Option<PathBuf>,
}

impl Options {
    fn variable(&self, name: &str) -> Option<&str> {
        let mut variables = self.environment.iter().rev();
        let found = variables.find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// A running server: one process, or several nodes behind a balancer. Killed when dropped.
pub(crate) struct TestServer {
    folder: TempDir,
    options: Options,
    /// So many processes it is.
    nodes: usize,
    running: Vec<Process>,
    front: Option<Front>,
    base: String,
}

/// The shared secret of every test server.
pub(crate) const SHARED_SECRET: &str = "test shared secret";

/// The secret of the nodes of a test server.
const CLUSTER_SECRET: &str = "the secret of a cluster in tests";

const ANY_PORT: &str = "127.0.0.1:0";

/// The server name of every test server.
pub(crate) const SERVER_NAME: &str = "playhouse.test";

impl TestServer {
    /// A fresh server; on PostgreSQL when `PLAYHOUSE_TEST_ENGINE=postgres`, of several nodes when `PLAYHOUSE_TEST_NODES` wishes for them.
    pub(crate) async fn start() -> Self {
        Self::start_with(Options::default()).await
    }

    /// A fresh server.
    pub(crate) async fn start_with(options: Options) -> Self {
        Self::start_wished(options)
    }

    /// A fresh server, as the environment wishes where the options say nothing.
    pub(crate) fn start_wished(mut options: Options) -> Self {
        let nodes = nodes_wished();
        if options.database.is_none() && (wants_postgres() || nodes > 1) {
            options.database = Some(Database::create());
        }
        Self::start_nodes(options, nodes)
    }

    /// A fresh server of one process on the engine that the options name, whatever the environment says.
    pub(crate) fn start_exactly(options: Options) -> Self {
        Self::start_nodes(options, 1)
    }

    fn start_nodes(options: Options, nodes: usize) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut server = Self {
            folder,
            options,
            nodes,
            running: Vec::new(),
            front: None,
            base: String::new(),
        };
        server.launch();
        server
    }

    /// Starts all processes. One address serves one of them: where several share it, only the first gets it.
    fn launch(&mut self) {
        if self.nodes == 1 {
            let process = self.spawn(self.program(None)).listening();
            self.base = process.base().to_owned();
            self.running.push(process);
            return;
        }
        // The first brings the signing key.
        let first = self.spawn(self.program(Some(1))).listening();
        self.running.push(first);
        let others: Vec<_> = (2..=self.nodes)
            .map(|node| self.spawn(self.program(Some(node))))
            .collect();
        let others = others.into_iter().map(Starting::listening);
        self.running.extend(others);
        let bases: Vec<_> = self.running.iter().map(Process::base).collect();
        let listen = self.options.variable("PLAYHOUSE_LISTEN");
        let front = Front::at(listen.unwrap_or("127.0.0.1:0"), &bases, true);
        self.base = front.base();
        self.front = Some(front);
    }

    fn spawn(&self, command: Command) -> Starting {
        Starting::spawn(command, self.options.log.as_deref())
    }

    /// The server alone, or one of its nodes.
    fn program(&self, node: Option<usize>) -> Command {
        let mut command = self.bare();
        command
            .env("PLAYHOUSE_SERVER_NAME", SERVER_NAME)
            .env("PLAYHOUSE_DATA_DIR", self.data())
            .env("PLAYHOUSE_LISTEN", ANY_PORT)
            .env("PLAYHOUSE_REGISTRATION_SHARED_SECRET", SHARED_SECRET)
            .env("PLAYHOUSE_ENABLE_REGISTRATION", "true")
            .env("PLAYHOUSE_RATE_LIMITS", "off")
            // Nobody outside is asked for anything.
            .env("PLAYHOUSE_FEDERATION_NOTARIES", "")
            .env("PLAYHOUSE_LOG", "warn");
        if let Some(database) = &self.options.database {
            name_database(&mut command, database);
        }
        let Some(node) = node else {
            command.envs(self.options.environment.iter().cloned());
            return command;
        };
        command
            .env("PLAYHOUSE_CLUSTER_LISTEN", ANY_PORT)
            .env("PLAYHOUSE_CLUSTER_SECRET", CLUSTER_SECRET)
            .env("PLAYHOUSE_CLUSTER_NAME", format!("n{node}"))
            .env("PLAYHOUSE_MEDIA_DIR", self.data().join("media"))
            .env("PLAYHOUSE_LISTEN_WORKERS", "1")
            // The balancer says who asks.
            .env("PLAYHOUSE_LISTEN_TRUSTED_PROXIES", "127.0.0.1")
            .envs(self.options.environment.iter().cloned())
            .env("PLAYHOUSE_LISTEN", ANY_PORT);
        if node > 1 {
            let data = self.folder.path().join(format!("data-n{node}"));
            command.env("PLAYHOUSE_DATA_DIR", data);
            let federation = self.options.variable("PLAYHOUSE_FEDERATION_LISTEN");
            if let Some((host, _)) = federation.and_then(|place| place.rsplit_once(':')) {
                command.env("PLAYHOUSE_FEDERATION_LISTEN", format!("{host}:0"));
            }
            command.env_remove("PLAYHOUSE_PUSH_GATEWAY_LISTEN");
        }
        command
    }

    /// The program without a word about what to do.
    fn bare(&self) -> Command {
        let program = env!("CARGO_BIN_EXE_playhouse");
        let mut command = match &*self.options.prefix {
            [] => Command::new(program),
            [first, others @ ..] => {
                let mut command = Command::new(first);
                command.args(others).arg(program);
                command
            }
        };
        command
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", path_variable());
        command
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

    /// What it has read so far from files and sockets, cached or not, by the kernel's count.
    pub(crate) fn bytes_read(&self) -> u64 {
        self.running.iter().map(Process::bytes_read).sum()
    }

    /// The memory that it holds now.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let processes = self.running.iter();
        processes
            .map(|process| process.memory_bytes("VmRSS:"))
            .sum()
    }

    /// The most memory that it has held since it was started; of several processes the sum of what each has held.
    pub(crate) fn peak_bytes(&self) -> u64 {
        let processes = self.running.iter();
        processes
            .map(|process| process.memory_bytes("VmHWM:"))
            .sum()
    }

    /// The time that it has computed.
    pub(crate) fn cpu_time(&self) -> Duration {
        self.running.iter().map(Process::cpu_time).sum()
    }

    /// So many files are on their way into the folder of media.
    pub(crate) fn incoming(&self) -> usize {
        let entries = std::fs::read_dir(self.data().join("media"));
        let folders = entries.into_iter().flatten().flatten().filter(|entry| {
            let name = entry.file_name();
            name.to_string_lossy().starts_with("incoming")
        });
        folders
            .map(|folder| std::fs::read_dir(folder.path()).map_or(0, Iterator::count))
            .sum()
    }

    /// Kills the server and removes its folder when this test program has ended, however it ended: for servers that are never dropped.
    pub(crate) fn end_with_program(&self) -> Child {
        let processes: Vec<_> = self.running.iter().map(Process::id).collect();
        end_with_program(&processes, &[self.folder.path()])
    }

    /// SIGKILL: nothing is flushed, nobody is told.
    pub(crate) fn kill(&mut self) {
        self.front = None;
        // All of them at once: nobody sees the others go.
        self.running.iter_mut().for_each(Process::strike);
        self.running.clear();
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
        assert!(!self.running.is_empty(), "it does not run");
        for process in &self.running {
            process.signal(signal);
        }
    }

    /// SIGTERM, and waits until it has ended in order.
    pub(crate) fn stop(&mut self) {
        for process in &self.running {
            process.signal("-TERM");
        }
        self.running.drain(..).for_each(Process::ended);
        self.front = None;
    }

    /// Starts again on the same data, on another port.
    pub(crate) fn start_again(&mut self) {
        assert!(self.running.is_empty(), "it still runs");
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
        let mut command = self.bare();
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

//! A Playhouse that the tool starts itself: the binary of the same build unless told otherwise, its data in a temporary folder.

use std::{
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Child, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::trouble::{Outcome, Trouble};

/// How our own server is started.
#[derive(Clone, Debug)]
pub(crate) struct HouseOptions {
    /// The program.
    pub(crate) binary: PathBuf,
    /// Cores for it, as `taskset -c` reads them.
    pub(crate) cores: Option<String>,
    /// Where the temporary folder is made.
    pub(crate) folder: Option<PathBuf>,
    /// A PostgreSQL in which a database of its own is made; SQLite otherwise.
    pub(crate) database: Option<String>,
}

/// A server of ours. Killed, with all that it stored, when dropped.
pub(crate) struct House {
    options: HouseOptions,
    database: Option<Database>,
    folder: TempDir,
    process: Option<Child>,
    url: String,
}

impl House {
    /// Starts a server on nothing.
    pub(crate) fn open(options: HouseOptions) -> Outcome<Self> {
        let database = options
            .database
            .as_deref()
            .map(Database::make)
            .transpose()?;
        let folder = match &options.folder {
            Some(folder) => tempfile::tempdir_in(folder)?,
            None => tempfile::tempdir()?,
        };
        let mut house = Self {
            options,
            database,
            folder,
            process: None,
            url: String::new(),
        };
        house.start()?;
        Ok(house)
    }

    /// How it was started.
    pub(crate) fn options(&self) -> &HouseOptions {
        &self.options
    }

    /// Where it listens. Another port after each start.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Its process, while it runs.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// Ends it in order.
    pub(crate) fn stop(&mut self) -> Outcome<()> {
        let Some(mut process) = self.process.take() else {
            return Ok(());
        };
        Command::new("kill")
            .arg(process.id().to_string())
            .status()?;
        process.wait()?;
        Ok(())
    }

    /// Starts it on what it has stored; comes back when it has said where it listens.
    pub(crate) fn start(&mut self) -> Outcome<()> {
        let mut process = self.command().spawn()?;
        let output = process.stdout.take();
        self.process = Some(process);
        self.url = output
            .and_then(announced)
            .ok_or_else(|| Trouble::Setup("the server does not start".to_owned()))?;
        Ok(())
    }

    fn command(&self) -> Command {
        let mut command = match &self.options.cores {
            Some(cores) => {
                let mut command = Command::new("taskset");
                command.args(["-c", cores]).arg(&self.options.binary);
                command
            }
            None => Command::new(&self.options.binary),
        };
        command
            .arg("run")
            .current_dir(self.folder.path())
            .env("PLAYHOUSE_SERVER_NAME", "bench.localhost")
            .env("PLAYHOUSE_DATA_DIR", self.folder.path().join("data"))
            .env("PLAYHOUSE_LISTEN", "127.0.0.1:0")
            .env("PLAYHOUSE_ENABLE_REGISTRATION", "true")
            .env("PLAYHOUSE_RATE_LIMITS", "off")
            .env("PLAYHOUSE_LOG", "warn")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit());
        if let Some(database) = &self.database {
            command.env("PLAYHOUSE_DATABASE", &database.url);
        }
        command
    }
}

impl Drop for House {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            // It may have ended by itself.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// Reads the greeting up to the address; the rest of the output is read away by a thread, so that the pipe never fills.
fn announced(output: ChildStdout) -> Option<String> {
    let mut lines = BufReader::new(output).lines().map_while(Result::ok);
    let url = lines.find_map(|line| {
        let start = line.find("http://127.0.0.1:")?;
        let url = line[start..].split_whitespace().next()?;
        Some(url.trim_end_matches('/').to_owned())
    });
    std::thread::spawn(move || lines.for_each(drop));
    url
}

/// A database of our own in somebody's PostgreSQL. Dropped with everything in it.
struct Database {
    admin: String,
    name: String,
    url: String,
}

/// The server's connections end a moment after the server.
const DROP_WITHIN: Duration = Duration::from_secs(5);

impl Database {
    fn make(admin: &str) -> Outcome<Self> {
        let name = format!("playhouse_bench_{}", uuid::Uuid::now_v7().simple());
        execute(admin, format!("CREATE DATABASE {name}"))?;
        let (server, _) = admin
            .rsplit_once('/')
            .filter(|(server, _)| !server.ends_with('/'))
            .ok_or_else(|| Trouble::Setup(format!("`{admin}` names no database")))?;
        Ok(Self {
            admin: admin.to_owned(),
            url: format!("{server}/{name}"),
            name,
        })
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let begun = Instant::now();
        while execute(&self.admin, format!("DROP DATABASE {}", self.name)).is_err()
            && begun.elapsed() < DROP_WITHIN
        {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// The blocking client must not run on a thread of tokio's.
fn execute(url: &str, statement: String) -> Outcome<()> {
    let url = url.to_owned();
    let done = std::thread::spawn(move || {
        let mut client = postgres::Client::connect(&url, postgres::NoTls)?;
        client.batch_execute(&statement)
    });
    match done.join() {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(Trouble::Setup(format!("PostgreSQL: {error}"))),
        Err(_) => Err(Trouble::Setup("PostgreSQL's client failed".to_owned())),
    }
}

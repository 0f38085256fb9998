//! One server under test: where it is, which processes it has, how it ends and starts, what was prepared on it.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    fs,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{
    accounts::Registration,
    api::{Api, User, accepted},
    client::Client,
    house::House,
    meter::prepare,
    process::{self, Look},
    trouble::{Outcome, Trouble},
};

/// Accounts that are prepared at the same time: hashing passwords takes all of a server.
const REGISTER_CLIENTS: usize = 4;

/// A server must answer so soon after its start.
const START_WITHIN: Duration = Duration::from_secs(120);

/// A server must have ended so soon after it was told to.
const STOP_WITHIN: Duration = Duration::from_secs(60);

/// How often a starting server is asked.
const KNOCK_EVERY: Duration = Duration::from_millis(2);

/// Where a server's processes are looked up.
#[derive(Clone, Debug, Default)]
pub(crate) struct Processes {
    pub(crate) pids: Vec<u32>,
    /// Files that begin with a process ID; read again at each look, since a restarted server has another one.
    pub(crate) files: Vec<String>,
}

/// How the server comes to an end and to life again.
pub(crate) enum Life {
    /// The tool's own child.
    Own(Box<RefCell<House>>),
    /// By shell commands, either of which may be missing.
    Foreign {
        stop: Option<String>,
        start: Option<String>,
    },
}

/// A server under test.
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) api: Api,
    pub(crate) life: Life,
    pub(crate) registration: Registration,
    processes: RefCell<Processes>,
    /// Sets the names of this run apart from those of others.
    run: String,
    serial: Cell<u64>,
    users: RefCell<Vec<User>>,
    /// Rooms that serve several rounds.
    prepared: RefCell<BTreeMap<String, String>>,
}

impl Target {
    /// A server at a URL.
    pub(crate) fn new(name: &str, url: &str, life: Life, registration: Registration) -> Self {
        Self {
            name: name.to_owned(),
            api: Api {
                client: Client::new(url),
            },
            life,
            registration,
            processes: RefCell::default(),
            run: milliseconds(),
            serial: Cell::new(0),
            users: RefCell::default(),
            prepared: RefCell::default(),
        }
    }

    /// Tells which processes to look at.
    pub(crate) fn watch(&self, processes: Processes) {
        *self.processes.borrow_mut() = processes;
    }

    /// Whether processes are known.
    pub(crate) fn has_processes(&self) -> bool {
        !self.pids().is_empty()
    }

    /// CPU time and memory now.
    pub(crate) fn look(&self) -> Look {
        process::look(&self.pids())
    }

    fn pids(&self) -> Vec<u32> {
        let processes = self.processes.borrow();
        let from_files = processes.files.iter().filter_map(|file| {
            let text = fs::read_to_string(file).ok()?;
            text.lines().next()?.trim().parse().ok()
        });
        let own = match &self.life {
            Life::Own(house) => house.borrow().pid(),
            Life::Foreign { .. } => None,
        };
        processes
            .pids
            .iter()
            .copied()
            .chain(from_files)
            .chain(own)
            .collect()
    }

    /// Ends the server.
    pub(crate) async fn stop(&self) -> Outcome<()> {
        self.api.client.forget();
        match &self.life {
            Life::Own(house) => house.borrow_mut().stop(),
            Life::Foreign { stop, .. } => {
                let pids = self.pids();
                shell(stop.as_deref()).await?;
                gone(&pids).await
            }
        }
    }

    /// Starts it again and waits for its first answer.
    pub(crate) async fn start(&self) -> Outcome<()> {
        match &self.life {
            Life::Own(house) => {
                let mut house = house.borrow_mut();
                house.start()?;
                self.api.client.redirect(house.url());
            }
            Life::Foreign { start, .. } => shell(start.as_deref()).await?,
        }
        let begun = Instant::now();
        loop {
            let path = "/_matrix/client/versions";
            let answer = self.api.ask("GET", path, None, &Value::Null).await;
            match answer.and_then(accepted) {
                Ok(_) => return Ok(()),
                Err(trouble) if begun.elapsed() > START_WITHIN => return Err(trouble),
                Err(_) => tokio::time::sleep(KNOCK_EVERY).await,
            }
        }
    }

    /// A word that was never used on this server.
    pub(crate) fn fresh(&self) -> String {
        self.serial.set(self.serial.get() + 1);
        format!("t{}n{}", self.run, self.serial.get())
    }

    /// So many accounts, made if need be. The same ones each time.
    pub(crate) async fn users(&self, count: usize) -> Outcome<Vec<User>> {
        let missing = count.saturating_sub(self.users.borrow().len());
        let made = prepare(missing, REGISTER_CLIENTS, |_| self.register()).await?;
        let mut users = self.users.borrow_mut();
        users.extend(made);
        Ok(users[..count].to_vec())
    }

    /// Something that was prepared in an earlier round.
    pub(crate) fn recall(&self, what: &str) -> Option<String> {
        self.prepared.borrow().get(what).cloned()
    }

    /// Keeps something for later rounds.
    pub(crate) fn remember(&self, what: &str, value: &str) {
        self.prepared
            .borrow_mut()
            .insert(what.to_owned(), value.to_owned());
    }
}

/// Commands that end a server may come back before it has ended.
async fn gone(pids: &[u32]) -> Outcome<()> {
    let begun = Instant::now();
    while pids.iter().any(|pid| process::is_alive(*pid)) {
        if begun.elapsed() > STOP_WITHIN {
            return Err(Trouble::Setup("the peer does not end".to_owned()));
        }
        tokio::time::sleep(KNOCK_EVERY).await;
    }
    Ok(())
}

async fn shell(command: Option<&str>) -> Outcome<()> {
    let command = command
        .ok_or_else(|| Trouble::Setup("needs stop= and start= of the peer".to_owned()))?
        .to_owned();
    let run = move || {
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", &command]).status()
    };
    let status = tokio::task::spawn_blocking(run).await;
    match status {
        Ok(Ok(status)) if status.success() => Ok(()),
        other => Err(Trouble::Setup(format!("the peer's command: {other:?}"))),
    }
}

/// The time as twelve digits.
fn milliseconds() -> String {
    let mut digits = uuid::Uuid::now_v7().simple().to_string();
    digits.truncate(12);
    digits
}

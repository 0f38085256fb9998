//! The command line.

use std::{cell::RefCell, path::PathBuf};

use clap::Parser;

use super::{
    accounts::Registration,
    house::{House, HouseOptions},
    scenario::Scenario,
    target::{Life, Processes, Target},
    trouble::{Outcome, Trouble},
};

/// Puts homeservers through the same work, in turn, and compares them.
#[derive(Debug, Parser)]
#[command(name = "load")]
pub(crate) struct Options {
    /// Scenarios, each `NAME` or `NAME:KNOB=NUMBER,…`; all usual ones without any
    scenarios: Vec<String>,
    /// Tells the scenarios with their knobs, and ends
    #[arg(long)]
    pub(crate) list: bool,
    /// How often each scenario runs against each server; the table has the medians
    #[arg(long, default_value_t = 3)]
    pub(crate) rounds: usize,
    /// A Playhouse of our own on `sqlite` or on `postgres://USER@HOST/DATABASE` (a database of its own is made there); repeat it for several
    #[arg(long = "database", default_value = "sqlite")]
    databases: Vec<String>,
    /// No Playhouse of our own: peers only
    #[arg(long)]
    peers_only: bool,
    /// The program to start
    #[arg(long, default_value = env!("CARGO_BIN_EXE_playhouse"))]
    binary: PathBuf,
    /// Cores for our own servers, as `taskset -c` reads them
    #[arg(long)]
    cores: Option<String>,
    /// Where temporary folders are made
    #[arg(long)]
    folder: Option<PathBuf>,
    /// A process that belongs to our own server on PostgreSQL: the postmaster
    #[arg(long = "database-pid")]
    database_pids: Vec<u32>,
    /// Another server: `NAME=URL[,pid=N][,pidfile=PATH][,register=open|token:TOKEN|shared:SECRET]`
    #[arg(long = "peer")]
    peers: Vec<String>,
    /// `NAME=COMMAND` that ends a peer, for cold-start
    #[arg(long = "stop")]
    stops: Vec<String>,
    /// `NAME=COMMAND` that starts a peer and comes back
    #[arg(long = "start")]
    starts: Vec<String>,
    /// A file to which every single result is appended, one JSON object a line
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

impl Options {
    /// What is to be run.
    pub(crate) fn scenarios(&self) -> Outcome<Vec<Scenario>> {
        if self.scenarios.is_empty() {
            return Scenario::usual();
        }
        self.scenarios
            .iter()
            .map(|text| Scenario::parse(text))
            .collect()
    }

    /// The servers, our own first and started. Ratios are to the first.
    pub(crate) fn targets(&self) -> Outcome<Vec<Target>> {
        let mut targets = Vec::new();
        if !self.peers_only {
            for database in &self.databases {
                targets.push(self.own(database)?);
            }
        }
        for peer in &self.peers {
            targets.push(self.peer(peer)?);
        }
        if targets.is_empty() {
            return Err(Trouble::Setup("no server to measure".to_owned()));
        }
        Ok(targets)
    }

    fn own(&self, database: &str) -> Outcome<Target> {
        let is_sqlite = database == "sqlite";
        let house = House::open(HouseOptions {
            binary: self.binary.clone(),
            cores: self.cores.clone(),
            folder: self.folder.clone(),
            database: (!is_sqlite).then(|| database.to_owned()),
        })?;
        let name = if is_sqlite {
            "playhouse"
        } else {
            "playhouse-pg"
        };
        let url = house.url().to_owned();
        let life = Life::Own(Box::new(RefCell::new(house)));
        let target = Target::new(name, &url, life, Registration::Open);
        if !is_sqlite {
            target.watch(Processes {
                pids: self.database_pids.clone(),
                files: Vec::new(),
            });
        }
        Ok(target)
    }

    fn peer(&self, text: &str) -> Outcome<Target> {
        let wrong = || Trouble::Setup(format!("--peer {text}: not NAME=URL,…"));
        let (name, rest) = text.split_once('=').ok_or_else(wrong)?;
        let mut parts = rest.split(',');
        let url = parts.next().ok_or_else(wrong)?;
        if !url.starts_with("http://") {
            return Err(Trouble::Setup(format!("{url}: plain http:// only")));
        }
        let mut processes = Processes::default();
        let mut registration = Registration::Open;
        for part in parts {
            match part.split_once('=').ok_or_else(wrong)? {
                ("pid", pid) => processes.pids.push(pid.parse().map_err(|_| wrong())?),
                ("pidfile", path) => processes.files.push(path.to_owned()),
                ("register", way) => registration = read_registration(way).ok_or_else(wrong)?,
                _ => return Err(wrong()),
            }
        }
        let life = Life::Foreign {
            stop: command_of(&self.stops, name),
            start: command_of(&self.starts, name),
        };
        let target = Target::new(name, url, life, registration);
        target.watch(processes);
        Ok(target)
    }
}

fn read_registration(text: &str) -> Option<Registration> {
    match text.split_once(':') {
        None if text == "open" => Some(Registration::Open),
        Some(("token", token)) => Some(Registration::Token(token.to_owned())),
        Some(("shared", secret)) => Some(Registration::Shared(secret.to_owned())),
        _ => None,
    }
}

fn command_of(commands: &[String], name: &str) -> Option<String> {
    commands.iter().find_map(|command| {
        let (of, command) = command.split_once('=')?;
        (of == name).then(|| command.to_owned())
    })
}

//! `playhouse user …`

use std::{
    collections::BTreeMap,
    io::{BufRead as _, IsTerminal as _},
    sync::Arc,
    time::Duration,
};

use playhouse_actors::{
    house::{House, NewAccount},
    user::UserCommand,
};
use playhouse_schema::{
    address::{Family, Shard},
    port::{LogStore, StoreError},
    record::{codec::Record as _, user::UserRecord},
};
use ruma::{OwnedUserId, UserId};

use super::{
    output::{Problem, say},
    secret::Registrar,
};
use crate::{
    config::Config,
    node::{self, StartError, random_secret},
};

/// Users. The server must not run, except for `add` when a shared secret is configured.
#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Make a user. The password is read from standard input, or made up and printed
    Add {
        /// Local part of the user ID
        name: String,
        /// Make a server administrator
        #[arg(long)]
        admin: bool,
        /// The password; others on this machine may see it here
        #[arg(long)]
        password: Option<String>,
    },
    /// Set a user's password and end all sessions
    Passwd {
        /// Local part or user ID
        name: String,
        /// The password; others on this machine may see it here
        #[arg(long)]
        password: Option<String>,
    },
    /// List all users
    List,
    /// Write what the server keeps of a user to standard output: a JSON object a line
    Export {
        /// Local part or user ID
        name: String,
    },
}

/// How long actors may take to end.
pub(super) const CLOSE_WITHIN: Duration = Duration::from_secs(10);

pub(super) async fn execute(command: Command, config: Config) -> Result<(), Problem> {
    match command {
        Command::Add {
            name,
            admin,
            password,
        } => add(&config, name, admin, password).await,
        Command::Passwd { name, password } => passwd(&config, &name, password).await,
        Command::List => list(&config).await,
        Command::Export { name } => export(&config, &name).await,
    }
}

async fn add(
    config: &Config,
    name: String,
    admin: bool,
    password: Option<String>,
) -> Result<(), Problem> {
    let (password, made_up) = password_or_new(password)?;
    let user_id = match open(config).await? {
        Opened::House(house) => {
            let account = NewAccount {
                username: Some(name),
                password: Some(password.clone()),
                admin,
                ..NewAccount::default()
            };
            let made = house.register(account).await;
            house.close(CLOSE_WITHIN).await;
            made?.user_id.to_string()
        }
        Opened::Running(registrar) => registrar.register(&name, &password, admin).await?,
    };
    say(format_args!("Made: {user_id}"));
    tell_password(&password, made_up);
    Ok(())
}

async fn passwd(config: &Config, name: &str, password: Option<String>) -> Result<(), Problem> {
    let Opened::House(house) = open(config).await? else {
        return Err(running());
    };
    let (password, made_up) = password_or_new(password)?;
    let user_id = user_id(config, name)?;
    let done = set_password(&house, &user_id, password.clone()).await;
    house.close(CLOSE_WITHIN).await;
    done?;
    say(format_args!("Password set: {user_id}"));
    tell_password(&password, made_up);
    Ok(())
}

async fn export(config: &Config, name: &str) -> Result<(), Problem> {
    let Opened::House(house) = open(config).await? else {
        return Err(running());
    };
    let user_id = user_id(config, name)?;
    let done = super::export::export(&house, &user_id).await;
    house.close(CLOSE_WITHIN).await;
    done
}

async fn set_password(house: &House, user_id: &UserId, password: String) -> Result<(), Problem> {
    let command = UserCommand::SetPassword {
        password_hash: Some(house.hash_password(password).await?),
        logout_except: Some(None),
    };
    house.user_command(user_id, command).await?;
    Ok(())
}

fn user_id(config: &Config, name: &str) -> Result<OwnedUserId, Problem> {
    let full = if name.starts_with('@') {
        name.to_owned()
    } else {
        format!("@{name}:{}", config.server.name)
    };
    UserId::parse(&full).map_err(|_| Problem::new(format!("{full} is no user ID")))
}

pub(super) enum Opened {
    House(Arc<House>),
    Running(Registrar),
}

/// The house itself when no server runs, else the way to register by the shared secret.
pub(super) async fn open(config: &Config) -> Result<Opened, Problem> {
    let registrar = Registrar::of(config);
    // PostgreSQL lets a second owner in and would fence the server that runs: so it is looked for first.
    if config.database.is_postgres() && Registrar::is_served(config).await {
        return registrar.map(Opened::Running).ok_or_else(running);
    }
    match node::open_house(config).await {
        Ok(house) => Ok(Opened::House(house)),
        Err(StartError::Store(StoreError::Locked(_))) => {
            registrar.map(Opened::Running).ok_or_else(running)
        }
        Err(error) => Err(error.into()),
    }
}

pub(super) fn running() -> Problem {
    Problem::new(
        "the server is running and holds the data: stop it first (only `user add` can go through a running \
         server, when [registration] shared_secret is set)",
    )
}

/// The password that is given, or read from standard input, or made up: then it is to be told.
pub(super) fn password_or_new(given: Option<String>) -> Result<(String, bool), Problem> {
    if let Some(password) = given {
        return Ok((password, false));
    }
    let input = std::io::stdin();
    if !input.is_terminal() {
        let mut line = String::new();
        input.lock().read_line(&mut line)?;
        let password = line.trim_end_matches(['\r', '\n']);
        if !password.is_empty() {
            return Ok((password.to_owned(), false));
        }
    }
    Ok((random_secret(20), true))
}

fn tell_password(password: &str, made_up: bool) {
    if made_up {
        say(format_args!("Password: {password}"));
    }
}

/// What the list says of a user.
#[derive(Default)]
struct Row {
    registered: bool,
    admin: bool,
    guest: bool,
    locked: bool,
    closed: bool,
}

/// Read so many records at a time.
const PAGE_RECORDS: usize = 2_000;

async fn list(config: &Config) -> Result<(), Problem> {
    let store = match node::open_store(config).await {
        Err(StartError::Store(StoreError::Locked(_))) => return Err(running()),
        opened => opened?,
    };
    let mut users = BTreeMap::new();
    for number in 0..store.layout().shards {
        let shard = Shard {
            family: Family::Users,
            number,
        };
        gather(&*store, shard, &mut users).await?;
    }
    for (name, row) in users.iter().filter(|(_, row)| row.registered) {
        let admin = if row.admin { " admin" } else { "" };
        let guest = if row.guest { " guest" } else { "" };
        let state = match (row.closed, row.locked) {
            (true, _) => " deactivated",
            (false, true) => " locked",
            (false, false) => "",
        };
        say(format_args!("{name}{admin}{guest}{state}"));
    }
    Ok(())
}

async fn gather(
    store: &dyn LogStore,
    shard: Shard,
    users: &mut BTreeMap<String, Row>,
) -> Result<(), Problem> {
    let mut after = 0;
    loop {
        let page = store.read_shard(shard, after, PAGE_RECORDS).await?;
        for stored in &page {
            after = stored.position;
            if stored.entity.prefix() != "user" {
                continue;
            }
            if let Some(record) = UserRecord::decode(stored)? {
                fold(users, stored.entity.name(), &record);
            }
        }
        if page.len() < PAGE_RECORDS {
            return Ok(());
        }
    }
}

fn fold(users: &mut BTreeMap<String, Row>, name: &str, record: &UserRecord) {
    let row = match users.get_mut(name) {
        Some(row) => row,
        None => users.entry(name.to_owned()).or_default(),
    };
    match record {
        UserRecord::Registered(registered) => {
            row.registered = true;
            row.admin = registered.admin;
            row.guest = registered.guest;
        }
        UserRecord::AdminSet(admin) => row.admin = *admin,
        UserRecord::LockSet(locked) => row.locked = *locked,
        UserRecord::Deactivated(_) => {
            row.closed = true;
            row.admin = false;
        }
        UserRecord::Reopened(_) => row.closed = false,
        _ => {}
    }
}

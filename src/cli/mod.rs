//! The command line.
//!
//! Owns what is printed for people. What it does it does through the configuration, the node and the house.

mod admin;
mod backup;
mod cluster;
mod cluster_status;
mod config;
mod export;
mod key;
mod log;
mod media;
mod migrate;
mod moment;
mod output;
mod progress;
mod push_gateway;
mod restore;
mod secret;
mod serve;
mod token;
mod user;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

use self::output::{Problem, warn};
use crate::{config::Config, node};

/// A Matrix homeserver. Without a command it runs the server.
#[derive(Parser)]
#[command(name = "playhouse", version)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// The configuration file; also PLAYHOUSE_CONFIG
    #[arg(long, short, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server
    Run,
    /// Write or check configuration files
    #[command(subcommand)]
    Config(config::Command),
    /// Manage users
    #[command(subcommand)]
    User(user::Command),
    /// Manage the tokens by which tools use the admin API
    #[command(subcommand)]
    Admin(admin::Command),
    /// Manage registration tokens
    #[command(subcommand)]
    Token(token::Command),
    /// Look at and exchange the key with which the server signs
    #[command(subcommand)]
    Key(key::Command),
    /// Bring media from one place of storage to another
    #[command(subcommand)]
    Media(media::Command),
    /// Check and repair what is stored, while no server runs
    #[command(subcommand)]
    Log(log::Command),
    /// Bring everything from SQLite to PostgreSQL or back, while no server runs. It may be interrupted and run again: it goes on where it was
    Migrate(migrate::Arguments),
    /// Copy everything into a folder, while the server serves or not
    Backup(backup::Arguments),
    /// Begin anew from a backup, with what it holds up to a moment, while no server runs
    Restore(restore::Arguments),
    /// Look at the nodes of a server, and tell them what to do
    #[command(subcommand)]
    Cluster(cluster::Command),
    /// Run a push gateway and nothing else, or make its configuration of Sygnal's
    PushGateway(push_gateway::Arguments),
}

/// Runs the program with the process's arguments.
pub fn run() -> ExitCode {
    node::install_crypto();
    let arguments = Arguments::parse();
    match execute(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            warn(format_args!("playhouse: {problem}"));
            ExitCode::FAILURE
        }
    }
}

fn execute(arguments: Arguments) -> Result<(), Problem> {
    let path = arguments.config;
    let load = || Config::load(path.as_deref()).map_err(Problem::from);
    match arguments.command.unwrap_or(Command::Run) {
        Command::Run => serve::run(path.as_deref(), &load()?),
        Command::Config(command) => config::execute(command, path.as_deref()),
        Command::User(command) => on_runtime(user::execute(command, with_warnings(load()?))),
        Command::Admin(command) => on_runtime(admin::execute(command, with_warnings(load()?))),
        Command::Token(command) => on_runtime(token::execute(command, with_warnings(load()?))),
        Command::Key(command) => on_runtime(key::execute(command, load()?)),
        Command::Media(command) => on_runtime(media::execute(command, with_warnings(load()?))),
        Command::Log(command) => on_runtime(log::execute(command, with_warnings(load()?))),
        Command::Migrate(arguments) => {
            let config = if arguments.need_config() {
                load()?
            } else {
                Config::default()
            };
            on_runtime(migrate::execute(arguments, with_warnings(config)))
        }
        Command::Backup(arguments) => {
            on_runtime(backup::execute(arguments, with_warnings(load()?)))
        }
        Command::Restore(arguments) => {
            on_runtime(restore::execute(arguments, with_warnings(load()?)))
        }
        Command::Cluster(command) => {
            let config = if command.needs_config() {
                with_warnings(load()?)
            } else {
                Config::default()
            };
            on_runtime(cluster::execute(command, config))
        }
        Command::PushGateway(arguments) => push_gateway::execute(&arguments, path.as_deref()),
    }
}

/// Commands of people log only what went wrong.
fn with_warnings(mut config: Config) -> Config {
    config.log.level = "warn".to_owned();
    // None when something logs already, which then goes on.
    let _ = node::LogHandle::install(&config.log);
    config
}

/// Runs a command to its end on a runtime like the server's.
fn on_runtime<T>(future: impl Future<Output = Result<T, Problem>>) -> Result<T, Problem> {
    serve::runtime()?.block_on(future)
}

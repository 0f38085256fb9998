//! The command line.
//!
//! Owns what is printed for people. What it does it does through the configuration, the node and the house.

mod admin;
mod backup;
mod cluster;
mod cluster_status;
mod config;
mod export;
mod health;
mod key;
mod log;
mod manual;
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

use clap::{CommandFactory as _, Parser, Subcommand};

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
    /// Administer a server that runs: users, rooms, reports, media, other servers, nodes, changes; and the tokens of tools
    Admin(admin::Arguments),
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
    /// Ask the server of this configuration, on this machine, whether it is well: the exit status says it
    Health,
    /// Run a push gateway and nothing else, or make its configuration of Sygnal's
    PushGateway(push_gateway::Arguments),
    /// Print a script that completes this command line in a shell
    Completion {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write it and those of all commands to a folder
    Man {
        /// The folder
        #[arg(long, value_name = "FOLDER")]
        to: Option<PathBuf>,
    },
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
        Command::Admin(arguments) => on_runtime(admin::execute(arguments, with_warnings(load()?))),
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
        Command::Health => on_runtime(health::ask(&with_warnings(load()?))),
        Command::PushGateway(arguments) => push_gateway::execute(&arguments, path.as_deref()),
        Command::Completion { shell } => {
            manual::complete(Arguments::command(), shell);
            Ok(())
        }
        Command::Man { to } => manual::describe(Arguments::command(), to.as_deref()),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_contradicts_itself_nowhere() {
        Arguments::command().debug_assert();
    }
}

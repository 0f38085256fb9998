//! `playhouse admin …`: what a person does by the admin API, at a server that runs.
//!
//! A command becomes a request and a word about what is to be shown of the answer; the rest is written once.

mod call;
mod cluster;
mod destinations;
mod house;
mod login;
mod media;
mod policies;
mod registration;
mod reports;
mod rooms;
mod server;
mod table;
mod tokens;
mod users;
mod work;

use std::path::PathBuf;

use self::{
    call::Doing,
    server::{Reach, Server},
    tokens::Wish,
};
use super::output::Problem;
use crate::config::Config;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// What is asked of a server that runs.
#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    reach: Reach,
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Log in as an administrator, and write the access token to a file
    Login {
        /// Local part or user ID; the password is read from standard input
        name: String,
        /// The file; otherwise as configured ([admin] token_file)
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
    },
    /// End the session of the token that is used
    Logout,
    /// Users of this server
    #[command(subcommand)]
    User(users::Command),
    /// Rooms
    #[command(subcommand)]
    Room(rooms::Command),
    /// What users complained of
    #[command(subcommand)]
    Report(reports::Command),
    /// Rules by which is moderated
    #[command(subcommand)]
    Policy(policies::Command),
    /// Media
    #[command(subcommand)]
    Media(media::Command),
    /// Tokens with which people may register
    #[command(subcommand)]
    RegistrationToken(registration::Command),
    /// Other servers, to which something is sent
    #[command(subcommand)]
    Destination(destinations::Command),
    /// Users of this server who are on the way into rooms through other servers
    #[command(subcommand)]
    Join(house::Join),
    /// Nodes and shards
    #[command(subcommand)]
    Cluster(cluster::Command),
    /// Events
    #[command(subcommand)]
    Event(house::Event),
    /// What administrators have changed, and taking it back
    #[command(subcommand)]
    Audit(house::Audit),
    /// Records that readers of the log could not take in
    #[command(subcommand)]
    Parked(house::Parked),
    /// List who is notified where
    Pushers,
    /// List what goes on in the background
    Tasks {
        /// Only scheduled, active, complete, cancelled or failed
        #[arg(long)]
        status: Option<String>,
    },
    /// List the rooms that take the most
    LargestRooms,
    /// Tell a user something in the server's name
    Notice {
        /// Local part or user ID
        user: String,
        text: String,
    },
    /// Show what runs there
    Version,
    /// Make a token for a tool and print it: it is not told again. Without --url and a token, while no server runs
    AddToken(tokens::NewToken),
    /// List the tokens of tools that are good. Without --url and a token, while no server runs
    Tokens,
    /// End a token of a tool. Without --url and a token, while no server runs
    RevokeToken {
        /// Its ID, as the list shows it
        id: String,
    },
}

/// On or off.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Switch {
    On,
    Off,
}

impl Switch {
    fn is_on(self) -> bool {
        self == Switch::On
    }

    /// What was done, in words.
    fn said(self, what: &str, whom: &str) -> String {
        match self {
            Switch::On => format!("{what}: {whom}"),
            Switch::Off => format!("{what} no more: {whom}"),
        }
    }
}

// How much of a list is wanted. What is flattened into commands has no documentation: it would become theirs.
#[derive(clap::Args)]
struct Page {
    /// So many entries at most; 0 for all
    #[arg(long, default_value_t = 100)]
    limit: u64,
}

/// What short names mean.
struct Names {
    server_name: String,
}

impl Names {
    /// A user ID, of this server where no other is named.
    fn user(&self, name: &str) -> String {
        if name.starts_with('@') {
            name.to_owned()
        } else {
            format!("@{name}:{}", self.server_name)
        }
    }
}

/// So many days ago, milliseconds since the Unix epoch.
fn before(days: u64) -> u64 {
    now_ms().saturating_sub(days.saturating_mul(DAY_MS))
}

/// In so many days, milliseconds since the Unix epoch.
fn in_days(days: u64) -> u64 {
    now_ms().saturating_add(days.saturating_mul(DAY_MS))
}

#[expect(
    clippy::disallowed_methods,
    reason = "no house is open whose clock could be asked"
)]
fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}

/// Does it.
pub(super) async fn execute(arguments: Arguments, config: Config) -> Result<(), Problem> {
    let Arguments { reach, command } = arguments;
    let names = Names {
        server_name: config.server.name.clone(),
    };
    let doing = match command {
        Command::Login { name, to } => {
            return login::log_in(&config, &reach, (names.user(&name).as_str(), to)).await;
        }
        Command::Logout => return login::log_out(&config, &reach).await,
        Command::AddToken(wish) => return of_tools(Wish::Add(wish), &config, &reach).await,
        Command::Tokens => return of_tools(Wish::List, &config, &reach).await,
        Command::RevokeToken { id } => return of_tools(Wish::Revoke(id), &config, &reach).await,
        Command::User(command) => command.doing(&names)?,
        Command::Room(command) => command.doing(&names)?,
        Command::Report(command) => command.doing(&names),
        Command::Policy(command) => command.doing(),
        Command::Media(command) => command.doing(&names)?,
        Command::RegistrationToken(command) => command.doing(),
        Command::Destination(command) => command.doing(),
        Command::Join(command) => command.doing(&names),
        Command::Cluster(command) => command.doing()?,
        Command::Event(command) => command.doing(),
        Command::Audit(command) => command.doing(),
        Command::Parked(command) => command.doing(),
        Command::Pushers => house::pushers(),
        Command::Tasks { status } => house::tasks(status),
        Command::LargestRooms => house::largest_rooms(),
        Command::Notice { user, text } => house::notice(&names, &user, text),
        Command::Version => house::version(),
    };
    at_server(doing, &config, &reach).await
}

async fn at_server(doing: Doing, config: &Config, reach: &Reach) -> Result<(), Problem> {
    let token = server::token(config, reach)?;
    let token = token.ok_or_else(|| {
        Problem::new(
            "an access token of an administrator is needed: `playhouse admin login NAME --to FILE` writes one, and \
             --token-file, or [admin] token_file, names it",
        )
    })?;
    let server = Server::of(config, reach, Some(token))?;
    work::perform(&server, doing, reach.json).await
}

/// Tokens of tools can be made while nothing runs, too: the first one must.
async fn of_tools(wish: Wish, config: &Config, reach: &Reach) -> Result<(), Problem> {
    if reach.url.is_some() || server::token(config, reach)?.is_some() {
        return at_server(wish.doing(), config, reach).await;
    }
    tokens::execute(wish, config).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_are_those_of_this_server() {
        let names = Names {
            server_name: "a.example".to_owned(),
        };
        assert_eq!(names.user("anna"), "@anna:a.example");
        assert_eq!(names.user("@anna:b.example"), "@anna:b.example");
    }
}

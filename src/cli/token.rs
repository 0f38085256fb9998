//! `playhouse token …`

use std::sync::Arc;

use playhouse_actors::{
    house::House,
    registration::message::{
        RegistrationAnswer, RegistrationCommand, RegistrationQuery, RegistrationToken,
    },
};

use super::{
    output::{Problem, say},
    user::{CLOSE_WITHIN, Opened, open, running},
};
use crate::{config::Config, node::random_secret};

/// Registration tokens. The server must not run.
#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Make a registration token, or change its bounds
    Add {
        /// The token; without it one is made up and printed
        token: Option<String>,
        /// So many accounts may be made with it; without a bound any number
        #[arg(long)]
        uses: Option<u64>,
        /// It ends after so many days; without it never
        #[arg(long)]
        days: Option<u64>,
    },
    /// List all registration tokens
    List,
    /// Delete a registration token
    Delete {
        /// The token
        token: String,
    },
}

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

pub(super) async fn execute(command: Command, config: Config) -> Result<(), Problem> {
    let Opened::House(house) = open(&config).await? else {
        return Err(running());
    };
    let done = run(&house, command).await;
    house.close(CLOSE_WITHIN).await;
    done
}

async fn run(house: &Arc<House>, command: Command) -> Result<(), Problem> {
    match command {
        Command::Add { token, uses, days } => {
            let token = token.unwrap_or_else(|| random_secret(20));
            let made = RegistrationToken {
                token: token.clone(),
                uses_max: uses,
                expires_ms: days.map(|days| house.env().now_ms() + days.saturating_mul(DAY_MS)),
            };
            let command = RegistrationCommand::SetToken {
                token: made,
                new: false,
            };
            house.registration_command(command).await?;
            say(format_args!("Made: {token}"));
        }
        Command::Delete { token } => {
            let command = RegistrationCommand::DeleteToken(token.clone());
            house.registration_command(command).await?;
            say(format_args!("Deleted: {token}"));
        }
        Command::List => {
            let answer = house.registration_query(RegistrationQuery::List).await?;
            if let RegistrationAnswer::Tokens(tokens) = answer {
                for known in tokens {
                    let bound = known.token.uses_max;
                    let bound = bound.map_or_else(String::new, |uses| format!(" of {uses}"));
                    say(format_args!(
                        "{} used {}{bound}",
                        known.token.token, known.completed
                    ));
                }
            }
        }
    }
    Ok(())
}

//! `playhouse admin …`

use std::sync::Arc;

use playhouse_actors::{
    admins::AdminRole,
    house::{House, HouseError, TokenWish},
};
use playhouse_schema::record::admin::{ChangeBegun, ChangeEnded, ChangeTarget};

use super::{
    output::{Problem, say},
    user::{CLOSE_WITHIN, Opened, open, running},
};
use crate::{
    config::Config,
    edge::administrator::{role_name, role_named},
};

/// As whom changes are noted that are made here.
const COMMAND_LINE: &str = "command line";

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// Tokens by which tools use the admin API. The server must not run; while it does, the API itself makes, lists and revokes them.
#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Make a token and print it: it is not told again
    AddToken {
        /// What it is for
        name: String,
        /// What may be done with it: read, moderate, operate
        #[arg(long, value_delimiter = ',', default_value = "read")]
        roles: Vec<String>,
        /// It ends after so many days
        #[arg(long, default_value_t = 30)]
        days: u64,
    },
    /// List all tokens that are good
    Tokens,
    /// End a token
    RevokeToken {
        /// Its ID, as the list shows it
        id: String,
    },
}

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
        Command::AddToken { name, roles, days } => {
            let wish = TokenWish {
                name,
                roles: roles_named(&roles)?,
                lifetime_ms: days.saturating_mul(DAY_MS),
                by: COMMAND_LINE.to_owned(),
            };
            let (token, id) = house.make_admin_token(wish).await?;
            // It is told this once, whether it can be noted or not.
            say(format_args!("Made: {token}\nID: {id}"));
            note(house, "admin add-token", &id).await?;
        }
        Command::Tokens => {
            for token in house.admin_tokens().await? {
                let roles: Vec<_> = token.roles.iter().map(|role| role_name(*role)).collect();
                let left = token.until_ms.saturating_sub(house.env().now_ms()) / DAY_MS;
                say(format_args!(
                    "{} {} ({}), {left} days left, made by {}",
                    token.id,
                    token.name,
                    roles.join(", "),
                    token.by
                ));
            }
        }
        Command::RevokeToken { id } => {
            house.revoke_admin_token(&id, COMMAND_LINE).await?;
            note(house, "admin revoke-token", &id).await?;
            say(format_args!("Revoked: {id}"));
        }
    }
    Ok(())
}

fn roles_named(names: &[String]) -> Result<Vec<AdminRole>, Problem> {
    let roles = names.iter().map(|name| {
        let role = role_named(name.trim());
        role.ok_or_else(|| Problem::new(format!("{name} is none of read, moderate and operate")))
    });
    roles.collect()
}

/// Notes a change that was made here, as those through the API are.
async fn note(house: &House, action: &str, id: &str) -> Result<(), HouseError> {
    let target = ChangeTarget {
        kind: "admin_token".to_owned(),
        name: id.to_owned(),
    };
    let begun = ChangeBegun {
        by: COMMAND_LINE.to_owned(),
        at_ms: house.env().now_ms(),
        action: action.to_owned(),
        target: Some(target),
        request: "{}".to_owned(),
        before: None,
        undoes: None,
    };
    let begun = house.begin_change(begun).await?;
    house
        .end_change(ChangeEnded {
            begun,
            at_ms: house.env().now_ms(),
            status: 200,
            target: None,
            after: None,
            undoes: None,
        })
        .await
}

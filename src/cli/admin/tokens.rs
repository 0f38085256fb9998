//! `playhouse admin add-token`, `tokens` and `revoke-token`: by a server that runs, where one is named; otherwise in its data.

use std::sync::Arc;

use playhouse_actors::{
    admins::AdminRole,
    house::{House, HouseError, TokenWish},
};
use playhouse_schema::record::admin::{ChangeBegun, ChangeEnded, ChangeTarget};
use serde_json::json;

use super::{
    call::{Call, Doing},
    table::{Form, Table},
};
use crate::{
    cli::{
        output::{Problem, say},
        user::{CLOSE_WITHIN, Opened, open, running},
    },
    config::Config,
    edge::administrator::{role_name, role_named},
};

/// As whom changes are noted that are made here.
const COMMAND_LINE: &str = "command line";

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// Tokens by which tools use the admin API.
pub(super) enum Wish {
    /// One is to be made.
    Add(NewToken),
    /// All are to be listed.
    List,
    /// That of this ID is to end.
    Revoke(String),
}

/// A token that is to be made.
#[derive(clap::Args)]
pub(super) struct NewToken {
    /// What it is for
    name: String,
    /// What may be done with it: read, moderate, operate
    #[arg(long, value_delimiter = ',', default_value = "read")]
    roles: Vec<String>,
    /// It ends after so many days
    #[arg(long, default_value_t = 30)]
    days: u64,
}

static TOKENS: Table = Table {
    rows: "/tokens",
    next: None,
    total: "",
    columns: &[
        ("TOKEN", "/id", Form::Plain),
        ("NAME", "/name", Form::Plain),
        ("ROLES", "/roles", Form::Plain),
        ("ENDS", "/expires_ts", Form::Time),
        ("MADE BY", "/made_by", Form::Plain),
    ],
};

impl Wish {
    /// By a server that runs.
    pub(super) fn doing(self) -> Doing {
        match self {
            Wish::Add(wish) => {
                let body = json!({
                    "name": wish.name, "roles": wish.roles, "lifetime_ms": wish.days.saturating_mul(DAY_MS)
                });
                Doing::Show(Call::post("/_playhouse/admin/v1/tokens").with(body))
            }
            Wish::List => Doing::List(Call::get("/_playhouse/admin/v1/tokens"), &TOKENS, 0),
            Wish::Revoke(id) => {
                let said = format!("Revoked: {id}");
                Doing::Do(Call::delete("/_playhouse/admin/v1/tokens/{}").of(id), said)
            }
        }
    }
}

/// In the data of a server that does not run.
pub(super) async fn execute(wish: Wish, config: &Config) -> Result<(), Problem> {
    let Opened::House(house) = open(config).await? else {
        return Err(running());
    };
    let done = run(&house, wish).await;
    house.close(CLOSE_WITHIN).await;
    done
}

async fn run(house: &Arc<House>, wish: Wish) -> Result<(), Problem> {
    match wish {
        Wish::Add(wish) => {
            let wish = TokenWish {
                name: wish.name,
                roles: roles_named(&wish.roles)?,
                lifetime_ms: wish.days.saturating_mul(DAY_MS),
                by: COMMAND_LINE.to_owned(),
            };
            let (token, id) = house.make_admin_token(wish).await?;
            // It is told this once, whether it can be noted or not.
            say(format_args!("Made: {token}\nID: {id}"));
            note(house, "admin add-token", &id).await?;
        }
        Wish::List => {
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
        Wish::Revoke(id) => {
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

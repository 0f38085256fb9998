//! Registration tokens: who may make an account where that takes a token.

mod create_token;
mod delete_token;
mod get_token;
mod list_tokens;
mod update_token;

use playhouse_actors::registration::{
    TokenUse,
    message::{RegistrationAnswer, RegistrationQuery},
};
use serde::{Deserialize, Serialize};

use crate::edge::{App, Failure, Routes};

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes.mount(list_tokens::handle);
    routes.mount(create_token::handle);
    routes.mount(get_token::handle);
    routes.mount(update_token::handle);
    routes.mount(delete_token::handle);
}

/// A token as administrators see it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Shown {
    token: String,
    /// So many registrations it permits; null for ever more.
    uses_allowed: Option<u64>,
    /// Registrations under way.
    pending: u64,
    /// Registrations completed.
    completed: u64,
    /// Until when, milliseconds since the Unix epoch; null for ever.
    expiry_time: Option<u64>,
}

impl From<TokenUse> for Shown {
    fn from(known: TokenUse) -> Self {
        Self {
            token: known.token.token,
            uses_allowed: known.token.uses_max,
            pending: known.pending,
            completed: known.completed,
            expiry_time: known.token.expires_ms,
        }
    }
}

async fn ask(app: &App, query: RegistrationQuery) -> Result<Vec<TokenUse>, Failure> {
    match app.house.registration_query(query).await? {
        RegistrationAnswer::Tokens(tokens) => Ok(tokens),
        RegistrationAnswer::Valid(_) => Err(Failure::internal("no tokens in the answer")),
    }
}

/// One token, or 404.
async fn one(app: &App, token: &str) -> Result<Shown, Failure> {
    let known = ask(app, RegistrationQuery::One(token.to_owned())).await?;
    let known = known.into_iter().next();
    known
        .map(Shown::from)
        .ok_or_else(|| Failure::not_found("unknown registration token"))
}

/// Refuses an end that is over already.
fn must_be_ahead(app: &App, expiry_time: Option<u64>) -> Result<(), Failure> {
    if expiry_time.is_some_and(|until_ms| until_ms < app.env().now_ms()) {
        return Err(Failure::invalid_param("expiry_time is in the past"));
    }
    Ok(())
}

//! Tokens by which tools use the admin API of this server's own (`/_playhouse/admin`) without being a user.

mod list_tokens;
mod make_token;
mod revoke_token;

use playhouse_actors::admins::{AdminRole, AdminToken};
use serde::Serialize;

use crate::edge::{Routes, administrator::role_name};

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes.mount(list_tokens::handle).role(AdminRole::Operate);
    routes.mount(make_token::handle).role(AdminRole::Operate);
    routes.mount(revoke_token::handle).role(AdminRole::Operate);
}

/// A token as administrators see it: without the token itself.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Shown {
    id: String,
    name: String,
    roles: Vec<&'static str>,
    made_by: String,
    made_ts: u64,
    /// Until when it is good, milliseconds since the Unix epoch.
    expires_ts: u64,
}

impl From<AdminToken> for Shown {
    fn from(token: AdminToken) -> Self {
        Self {
            id: token.id,
            name: token.name,
            roles: token.roles.into_iter().map(role_name).collect(),
            made_by: token.by,
            made_ts: token.at_ms,
            expires_ts: token.until_ms,
        }
    }
}

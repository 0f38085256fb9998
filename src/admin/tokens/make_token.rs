//! `POST /_playhouse/admin/v1/tokens`

use std::sync::Arc;

use playhouse_actors::house::TokenWish;
use ruma::{
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};

use crate::edge::{Admin, App, Failure, administrator::role_named};

/// A token is good for so long when nothing is said: thirty days.
const LIFETIME_MS: u64 = 30 * 24 * 60 * 60 * 1_000;

metadata! {
    method: POST,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_playhouse/admin/v1/tokens",
}

/// The token that is wanted.
#[request]
pub(crate) struct Request {
    /// What it is for.
    pub(crate) name: String,
    /// `read`, `moderate`, `operate`: at least one, and none that the caller lacks.
    pub(crate) roles: Vec<String>,
    /// For how long, milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lifetime_ms: Option<u64>,
}

/// The token, told this once.
#[response]
pub(crate) struct Response {
    /// By which it is revoked.
    pub(crate) id: String,
    /// The token.
    pub(crate) token: String,
}

/// Makes a token for a tool.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Admin,
    request: Request,
) -> Result<Response, Failure> {
    let mut roles = Vec::with_capacity(request.roles.len().min(3));
    for name in &request.roles {
        let role = role_named(name).ok_or_else(|| {
            Failure::invalid_param("a role is none of read, moderate and operate")
        })?;
        caller.may(role)?;
        if !roles.contains(&role) {
            roles.push(role);
        }
    }
    let wish = TokenWish {
        name: request.name,
        roles,
        lifetime_ms: request.lifetime_ms.unwrap_or(LIFETIME_MS),
        by: caller.name,
    };
    let (token, id) = app.house.make_admin_token(wish).await?;
    Ok(Response { id, token })
}

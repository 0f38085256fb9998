//! `POST /_synapse/admin/v1/users/{user_id}/_allow_cross_signing_replacement_without_uia`

use std::sync::Arc;

use playhouse_actors::user::{UserAnswer, UserQuery};
use ruma::{
    OwnedUserId,
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};

use super::local_account;
use crate::{
    admin::only_administrators,
    edge::{App, Failure, Session},
};

/// The permission holds for so long.
const LIFETIME_MS: u64 = 10 * 60 * 1_000;

metadata! {
    method: POST,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_synapse/admin/v1/users/{user_id}/_allow_cross_signing_replacement_without_uia",
}

/// A user who is to replace the cross-signing keys.
#[request]
pub(crate) struct Request {
    /// Whose.
    #[ruma_api(path)]
    pub(crate) user_id: OwnedUserId,
}

/// It is permitted.
#[response]
pub(crate) struct Response {
    /// Until then, milliseconds since the Unix epoch.
    pub(crate) updatable_without_uia_before_ms: u64,
}

/// Lets a user replace the cross-signing keys once, without another proof.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    only_administrators(&caller)?;
    local_account(&app, &request.user_id).await?;
    let query = UserQuery::IdentityKeys(Vec::new());
    let UserAnswer::IdentityKeys(keys) = app.house.user_query(&request.user_id, query).await?
    else {
        return Err(Failure::internal("unexpected answer to IdentityKeys"));
    };
    if keys.master.is_none() {
        return Err(Failure::not_found("this user has no cross-signing keys"));
    }
    let before_ms = app.house.env().now_ms() + LIFETIME_MS;
    app.house
        .allow_cross_signing_reset(&request.user_id, LIFETIME_MS)
        .await?;
    Ok(Response {
        updatable_without_uia_before_ms: before_ms,
    })
}

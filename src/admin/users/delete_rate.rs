//! `DELETE /_synapse/admin/v1/users/{user_id}/override_ratelimit`

use std::sync::Arc;

use playhouse_actors::user::message::AdminDecision;
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

metadata! {
    method: DELETE,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_synapse/admin/v1/users/{user_id}/override_ratelimit",
}

/// A user whose requests may come as fast as everybody's.
#[request]
pub(crate) struct Request {
    /// Whose.
    #[ruma_api(path)]
    pub(crate) user_id: OwnedUserId,
}

/// It is so.
#[response]
pub(crate) struct Response {}

/// Takes a user's own rate away.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    only_administrators(&caller)?;
    local_account(&app, &request.user_id).await?;
    let decision = AdminDecision::SetRateOverride(None);
    app.house.administer(&request.user_id, decision).await?;
    Ok(Response {})
}

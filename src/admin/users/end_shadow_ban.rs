//! `DELETE /_synapse/admin/v1/users/{user_id}/shadow_ban`

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
    path: "/_synapse/admin/v1/users/{user_id}/shadow_ban",
}

/// A user who is to be heard again.
#[request]
pub(crate) struct Request {
    /// Whose.
    #[ruma_api(path)]
    pub(crate) user_id: OwnedUserId,
}

/// It is so.
#[response]
pub(crate) struct Response {}

/// Lets what a user sends reach others again. What was sent meanwhile is nowhere.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    only_administrators(&caller)?;
    local_account(&app, &request.user_id).await?;
    let decision = AdminDecision::SetShadowBanned(false);
    app.house.administer(&request.user_id, decision).await?;
    Ok(Response {})
}

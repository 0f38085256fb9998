//! `GET /_synapse/admin/v1/auth_providers/{provider}/users/{external_id}`

use std::sync::Arc;

use ruma::{
    OwnedUserId,
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};

use crate::{
    admin::only_administrators,
    edge::{App, Failure, Session},
};

metadata! {
    method: GET,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_synapse/admin/v1/auth_providers/{provider}/users/{external_id}",
}

/// Names an identity at another system.
#[request]
pub(crate) struct Request {
    /// The system, as it is called in the settings.
    #[ruma_api(path)]
    pub(crate) provider: String,
    /// The identity there.
    #[ruma_api(path)]
    pub(crate) external_id: String,
}

/// Whose it is.
#[response]
pub(crate) struct Response {
    /// The user.
    pub(crate) user_id: OwnedUserId,
}

/// Tells an administrator whose identity at another system this is.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    only_administrators(&caller)?;
    let owner = app
        .house
        .user_of_external(&request.provider, &request.external_id)
        .await?;
    let user_id = owner.ok_or_else(|| Failure::not_found("no user has this identity"))?;
    Ok(Response { user_id })
}

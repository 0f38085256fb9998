//! `GET /_synapse/admin/v2/users/{user_id}`

use std::sync::Arc;

use ruma::{
    OwnedUserId,
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};

use super::{
    local_account,
    shown::{Shown, shown},
};
use crate::{
    admin::only_administrators,
    edge::{App, Failure, Session},
};

metadata! {
    method: GET,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_synapse/admin/v2/users/{user_id}",
}

/// Asks for an account.
#[request]
pub(crate) struct Request {
    /// Whose.
    #[ruma_api(path)]
    pub(crate) user_id: OwnedUserId,
}

/// The account.
#[response]
pub(crate) struct Response {
    /// All of it.
    #[ruma_api(body)]
    pub(crate) account: Shown,
}

/// Tells an administrator everything about an account.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    only_administrators(&caller)?;
    let account = local_account(&app, &request.user_id).await?;
    let account = shown(&app, account).await?;
    Ok(Response { account })
}

//! `POST /_playhouse/admin/v1/users/{user_id}/reopen`

use std::sync::Arc;

use ruma::{
    OwnedUserId,
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};

use super::local_account;
use crate::edge::{Admin, App, Failure};

metadata! {
    method: POST,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_playhouse/admin/v1/users/{user_id}/reopen",
}

/// A closed account that is to be opened.
#[request]
pub(crate) struct Request {
    /// Whose.
    #[ruma_api(path)]
    pub(crate) user_id: OwnedUserId,
    /// Its password; without one nobody logs in by password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) password: Option<String>,
}

/// It is open.
#[response]
pub(crate) struct Response {
    /// It was closed before. Otherwise nothing has changed, not even the password.
    pub(crate) reopened: bool,
}

/// Opens a closed account again. Nothing comes back of what it held.
pub(crate) async fn handle(
    app: Arc<App>,
    _caller: Admin,
    request: Request,
) -> Result<Response, Failure> {
    local_account(&app, &request.user_id).await?;
    let reopened = app.house.reopen(&request.user_id, request.password).await?;
    Ok(Response { reopened })
}

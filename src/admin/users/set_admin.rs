//! `PUT /_synapse/admin/v1/users/{user_id}/admin`

use std::sync::Arc;

use playhouse_actors::user::UserCommand;
use ruma::{
    OwnedUserId,
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};

use super::{local_account, must_stay};
use crate::{
    admin::only_administrators,
    edge::{App, Failure, Session},
};

metadata! {
    method: PUT,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_synapse/admin/v1/users/{user_id}/admin",
}

/// What a user may do from now on.
#[request]
pub(crate) struct Request {
    /// Whose.
    #[ruma_api(path)]
    pub(crate) user_id: OwnedUserId,
    /// The user is an administrator of this server.
    pub(crate) admin: bool,
}

/// It is so.
#[response]
pub(crate) struct Response {}

/// Makes or unmakes an administrator. Nobody does the latter to oneself: somebody must be left.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    only_administrators(&caller)?;
    local_account(&app, &request.user_id).await?;
    must_stay(&caller, &request.user_id, Some(request.admin))?;
    let command = UserCommand::SetAdmin(request.admin);
    app.house.user_command(&request.user_id, command).await?;
    Ok(Response {})
}

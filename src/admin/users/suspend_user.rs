//! `PUT /_synapse/admin/v1/suspend/{user_id}`

use std::{collections::BTreeMap, sync::Arc};

use playhouse_actors::user::UserCommand;
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
    method: PUT,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_synapse/admin/v1/suspend/{user_id}",
}

/// What a user may do from now on.
#[request]
pub(crate) struct Request {
    /// Whose.
    #[ruma_api(path)]
    pub(crate) user_id: OwnedUserId,
    /// The user may read, and not write.
    pub(crate) suspend: bool,
}

/// It is so.
#[response]
pub(crate) struct Response {
    /// `user_@name:server_suspended` says what holds now.
    #[ruma_api(body)]
    pub(crate) told: BTreeMap<String, bool>,
}

/// Suspends an account, or resumes it.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    only_administrators(&caller)?;
    local_account(&app, &request.user_id).await?;
    let command = UserCommand::SetSuspended(request.suspend);
    app.house.user_command(&request.user_id, command).await?;
    let key = format!("user_{}_suspended", request.user_id);
    Ok(Response {
        told: BTreeMap::from([(key, request.suspend)]),
    })
}

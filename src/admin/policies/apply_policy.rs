//! `POST /_playhouse/admin/v1/policies/{policy}/apply`

use std::sync::Arc;

use playhouse_actors::house::PolicyWish;
use ruma::{
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};

use crate::edge::{Admin, App, Failure};

metadata! {
    method: POST,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_playhouse/admin/v1/policies/{policy}/apply",
}

/// A policy that is to be applied.
#[request]
pub(crate) struct Request {
    /// Its name.
    #[ruma_api(path)]
    pub(crate) policy: String,
    /// What its dry run said.
    pub(crate) token: String,
    /// Reject the invites for good and tell the servers of the rooms, instead of hiding them here.
    #[serde(default)]
    pub(crate) tell_servers: bool,
}

/// What it did.
#[response]
pub(crate) struct Response {
    /// The number of the run.
    pub(crate) run: u64,
    /// So many invites were taken away, …
    pub(crate) invites: u64,
    /// … from so many users.
    pub(crate) users: u64,
    /// So many could not be, where the servers were to be told.
    pub(crate) failed: u64,
    /// So many fit as well, but came after the dry run: they stay.
    pub(crate) later: u64,
}

/// Does what the dry run has shown.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Admin,
    request: Request,
) -> Result<Response, Failure> {
    let wish = PolicyWish {
        policy: request.policy,
        token: request.token,
        tells_servers: request.tell_servers,
        by: caller.name,
    };
    let applied = app.house.apply_policy(wish).await?;
    Ok(Response {
        run: applied.run,
        invites: applied.invites,
        users: applied.users,
        failed: applied.failed,
        later: applied.later,
    })
}

//! `POST /_matrix/client/unstable/org.matrix.msc3720/account_status`

use std::{collections::BTreeSet, sync::Arc};

use playhouse_actors::user::{UserAnswer, UserError, UserQuery};
use ruma::{
    OwnedUserId,
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};
use serde_json::{Map, Value, json};

use crate::edge::{App, Failure, Session};

/// So many accounts may be asked about at once.
const USERS_MAX: usize = 100;

metadata! {
    method: POST,
    rate_limited: true,
    authentication: AccessToken,
    path: "/_matrix/client/unstable/org.matrix.msc3720/account_status",
}

/// Names accounts.
#[request]
pub(crate) struct Request {
    /// Which.
    pub(crate) user_ids: Vec<OwnedUserId>,
}

/// Tells about accounts.
#[response]
pub(crate) struct Response {
    /// By user ID: `exists`, and if so `deactivated`.
    pub(crate) account_statuses: Map<String, Value>,
    /// Accounts of servers that cannot be asked.
    pub(crate) failures: BTreeSet<OwnedUserId>,
}

/// Tells whether accounts exist, and whether they are closed.
pub(crate) async fn handle(
    app: Arc<App>,
    _caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    let (account_statuses, failures) = statuses(&app, request.user_ids).await?;
    Ok(Response {
        account_statuses,
        failures,
    })
}

/// What is known of accounts by user ID, and those of which nothing is.
pub(crate) async fn statuses(
    app: &App,
    user_ids: Vec<OwnedUserId>,
) -> Result<(Map<String, Value>, BTreeSet<OwnedUserId>), Failure> {
    if user_ids.len() > USERS_MAX {
        return Err(Failure::invalid_param("too many accounts at once"));
    }
    let (mut statuses, mut failures) = (Map::new(), BTreeSet::new());
    for user_id in user_ids {
        if !app.house.is_local(user_id.server_name()) {
            failures.insert(user_id);
            continue;
        }
        let status = match app.house.user_query(&user_id, UserQuery::Account).await {
            Ok(UserAnswer::Account(account)) => {
                json!({"exists": true, "deactivated": account.deactivated})
            }
            Ok(_) => return Err(Failure::internal("unexpected answer to Account")),
            Err(UserError::UnknownUser) => json!({"exists": false}),
            Err(error) => return Err(error.into()),
        };
        statuses.insert(user_id.to_string(), status);
    }
    Ok((statuses, failures))
}

//! `POST /_matrix/federation/unstable/org.matrix.msc3720/query/account_status`

use std::{collections::BTreeSet, sync::Arc};

use ruma::{
    OwnedUserId,
    api::{federation::authentication::ServerSignatures, request, response},
    metadata,
};
use serde_json::{Map, Value};

use crate::{
    client::account::account_status::statuses,
    edge::{App, Failure, Peer},
};

metadata! {
    method: POST,
    rate_limited: true,
    authentication: ServerSignatures,
    path: "/_matrix/federation/unstable/org.matrix.msc3720/query/account_status",
}

/// Names accounts of this server.
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
    /// Accounts of which nothing can be told.
    pub(crate) failures: BTreeSet<OwnedUserId>,
}

/// Tells whether accounts of this server exist, and whether they are closed.
pub(crate) async fn handle(
    app: Arc<App>,
    _peer: Peer,
    request: Request,
) -> Result<Response, Failure> {
    let is_elsewhere = |user_id: &OwnedUserId| !app.house.is_local(user_id.server_name());
    if request.user_ids.iter().any(is_elsewhere) {
        return Err(Failure::invalid_param("not all users are of this server"));
    }
    let (account_statuses, failures) = statuses(&app, request.user_ids).await?;
    Ok(Response {
        account_statuses,
        failures,
    })
}

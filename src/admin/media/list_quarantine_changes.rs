//! `GET /_synapse/admin/v1/media/quarantine_changes`

use std::sync::Arc;

use ruma::{
    UInt,
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};
use serde::{Deserialize, Serialize};

use crate::{
    admin::only_administrators,
    edge::{App, Failure, Session},
};

metadata! {
    method: GET,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_synapse/admin/v1/media/quarantine_changes",
}

/// Asks for the next piece of the list.
#[request]
pub(crate) struct Request {
    /// The `next_batch` of the answer before; the beginning when it is missing.
    #[serde(default)]
    #[ruma_api(query)]
    pub(crate) from: UInt,
}

/// A piece of the list.
#[response]
pub(crate) struct Response {
    /// Where to go on.
    pub(crate) next_batch: UInt,
    /// What was put away and given out again, oldest first.
    pub(crate) changes: Vec<Change>,
}

/// A change.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Change {
    /// Whose media it is.
    pub(crate) origin: String,
    /// Its ID there.
    pub(crate) media_id: String,
    /// Put away, or given out again.
    pub(crate) quarantined: bool,
}

/// Tells what was put away and given out again, in the order in which it happened.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    only_administrators(&caller)?;
    let found = app.house.quarantine_changes(request.from.into()).await?;
    let changes = found.changes.into_iter().map(|change| Change {
        origin: change.server_name,
        media_id: change.media_id,
        quarantined: change.quarantined,
    });
    Ok(Response {
        next_batch: UInt::new_saturating(found.next),
        changes: changes.collect(),
    })
}

//! `GET /_synapse/admin/v1/federation/destinations/{destination}`

use std::sync::Arc;

use ruma::{
    OwnedServerName,
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};

use super::{Shown, known};
use crate::{
    admin::only_administrators,
    edge::{App, Failure, Session},
};

metadata! {
    method: GET,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_synapse/admin/v1/federation/destinations/{destination}",
}

/// Names a destination.
#[request]
pub(crate) struct Request {
    /// The server.
    #[ruma_api(path)]
    pub(crate) destination: OwnedServerName,
}

/// How it stands.
#[response]
pub(crate) struct Response {
    /// All of it.
    #[ruma_api(body)]
    pub(crate) shown: Shown,
}

/// Tells how sending to another server stands.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    only_administrators(&caller)?;
    let found = known(&app, &request.destination).await?;
    Ok(Response {
        shown: Shown::from(found),
    })
}

//! `POST /_synapse/admin/v1/federation/destinations/{destination}/reset_connection`

use std::sync::Arc;

use ruma::{
    OwnedServerName,
    api::{auth_scheme::AccessToken, error::ErrorCode, request, response},
    metadata,
};

use super::known;
use crate::{
    admin::only_administrators,
    edge::{App, Failure, Session},
};

metadata! {
    method: POST,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_synapse/admin/v1/federation/destinations/{destination}/reset_connection",
}

/// Names a destination that failed.
#[request]
pub(crate) struct Request {
    /// The server.
    #[ruma_api(path)]
    pub(crate) destination: OwnedServerName,
}

/// It is tried at once.
#[response]
pub(crate) struct Response {}

/// Lets another server be tried at once, although it has failed. If it fails again it waits on as before.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    only_administrators(&caller)?;
    let found = known(&app, &request.destination).await?;
    if found.failures == 0 {
        return Err(Failure::new(
            ErrorCode::Unknown,
            "nothing hinders sending to this server",
        ));
    }
    app.house.retry_destination(&request.destination);
    Ok(Response {})
}

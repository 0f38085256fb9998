//! `POST /_matrix/client/*/account/3pid`

use std::sync::Arc;

use ruma::{
    OwnedClientSecret, OwnedSessionId,
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};
use serde::{Deserialize, Serialize};

use crate::edge::{App, Failure, Session};

metadata! {
    method: POST,
    rate_limited: true,
    authentication: AccessToken,
    path: "/_matrix/client/v3/account/3pid",
}

/// An address to be added, in the way of old clients.
#[request]
pub(crate) struct Request {
    /// What proves it.
    #[serde(alias = "threePidCreds")]
    pub(crate) three_pid_creds: Credentials,
}

/// What proves an address.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Credentials {
    /// The session.
    pub(crate) sid: OwnedSessionId,
    /// The client's secret.
    pub(crate) client_secret: OwnedClientSecret,
}

/// It is added.
#[response]
pub(crate) struct Response {}

/// Adds an address as [`super::add_3pid`] does; the proof is the only one that is asked for.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    super::check_changes(&app)?;
    let creds = request.three_pid_creds;
    super::add(
        &app,
        &caller,
        creds.sid.as_str(),
        creds.client_secret.as_str(),
    )
    .await?;
    Ok(Response {})
}

//! `GET /_synapse/client/v1/config/federation_whitelist`

use std::sync::Arc;

use ruma::{
    OwnedServerName,
    api::{auth_scheme::AccessToken, error::ErrorCode, request, response},
    metadata,
};

use crate::edge::{App, Failure, Session};

metadata! {
    method: GET,
    rate_limited: true,
    authentication: AccessToken,
    path: "/_synapse/client/v1/config/federation_whitelist",
}

/// Asks.
#[request]
pub(crate) struct Request {}

/// With which servers this one talks.
#[response]
pub(crate) struct Response {
    /// Only with those listed.
    pub(crate) whitelist_enabled: bool,
    /// Which.
    pub(crate) whitelist: Vec<OwnedServerName>,
}

/// Tells clients with which servers this one talks: with all, or with none. Unless the operator wants it told, the endpoint does not exist.
pub(crate) async fn handle(
    app: Arc<App>,
    _caller: Session,
    _request: Request,
) -> Result<Response, Failure> {
    let federation = &app.config.federation;
    if !federation.tell_clients {
        return Err(Failure::new(ErrorCode::Unrecognized, "unknown endpoint"));
    }
    Ok(Response {
        whitelist_enabled: !federation.enabled,
        whitelist: Vec::new(),
    })
}

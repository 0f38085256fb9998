//! `GET /_synapse/client/v1/config/federation_whitelist`

use std::sync::Arc;

use ruma::{
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
    pub(crate) whitelist: Vec<String>,
}

/// Tells clients with which servers this one talks: with all, with those that the operator lists, or with none. Unless the operator wants it told, the endpoint does not exist.
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
        whitelist_enabled: !federation.enabled || !federation.allow_servers.is_empty(),
        whitelist: if federation.enabled {
            federation.allow_servers.clone()
        } else {
            Vec::new()
        },
    })
}

//! `GET /.well-known/matrix/policy_server`

use std::sync::Arc;

use ruma::{
    api::client::discovery::discover_policy_server::{Request, Response},
    serde::Base64,
};

use crate::edge::{App, Failure};

/// Tells the key of the policy server that stands under this name, when there is one.
pub(crate) async fn handle(
    app: Arc<App>,
    _caller: (),
    _request: Request,
) -> Result<Response, Failure> {
    let Some(key) = &app.config.server.policy_server_key else {
        return Err(Failure::not_found("no policy server is configured"));
    };
    let key = Base64::parse(key).map_err(Failure::internal)?;
    Ok(Response::new(key))
}

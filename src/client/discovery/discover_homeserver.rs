//! `GET /.well-known/matrix/client`

use std::sync::Arc;

use ruma::api::client::discovery::discover_homeserver::{
    HomeserverInfo, IdentityServerInfo, Request, Response,
};

use crate::edge::{App, Failure};

/// Tells the URL under which clients reach this server, when it is known.
pub(crate) async fn handle(
    app: Arc<App>,
    _caller: (),
    _request: Request,
) -> Result<Response, Failure> {
    let server = &app.config.server;
    let Some(url) = app.client_url() else {
        return Err(Failure::not_found("no client URL is configured"));
    };
    let mut response = Response::new(HomeserverInfo::new(url.to_owned()));
    response.identity_server = server
        .identity_server_url
        .clone()
        .map(IdentityServerInfo::new);
    Ok(response)
}

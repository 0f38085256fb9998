//! `GET /.well-known/matrix/client`

use std::sync::Arc;

use bytes::Bytes;
pub(crate) use ruma::api::client::discovery::discover_homeserver::Request;
use serde_json::json;

use crate::{
    client::rtc,
    edge::{App, Failure, RawJson},
};

/// Tells the URL under which clients reach this server, when it is known; and what carries calls, when the operator has set that.
pub(crate) async fn handle(
    app: Arc<App>,
    _caller: (),
    _request: Request,
) -> Result<RawJson, Failure> {
    let server = &app.config.server;
    let Some(url) = app.client_url() else {
        return Err(Failure::not_found("no client URL is configured"));
    };
    let mut answer = json!({ "m.homeserver": { "base_url": url } });
    if let Some(url) = &server.identity_server_url {
        answer["m.identity_server"] = json!({ "base_url": url });
    }
    let transports = rtc::transports(&app);
    if !transports.is_empty() {
        answer["org.matrix.msc4143.rtc_foci"] = json!(transports);
    }
    Ok(RawJson(Bytes::from(answer.to_string())))
}

//! `GET /_matrix/federation/v1/version`

use std::sync::Arc;

use ruma::api::federation::discovery::get_server_version::v1::Request;
use serde_json::json;

use crate::{
    client::page::Object,
    edge::{App, Failure, RawJson},
};

/// Tells what runs here.
pub(crate) async fn handle(
    _app: Arc<App>,
    _caller: (),
    _request: Request,
) -> Result<RawJson, Failure> {
    let server = json!({"name": "Playhouse", "version": env!("CARGO_PKG_VERSION")});
    Ok(Object::new()
        .raw("server", server.to_string().as_bytes())
        .finish())
}

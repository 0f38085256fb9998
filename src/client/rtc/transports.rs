//! `GET /_matrix/client/unstable/org.matrix.msc4143/rtc/transports`

use std::sync::Arc;

use bytes::Bytes;
use ruma::{
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};
use serde_json::json;

use crate::edge::{App, Failure, RawJson, Session};

metadata! {
    method: GET,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_matrix/client/unstable/org.matrix.msc4143/rtc/transports",
}

/// Asks what carries calls.
#[request]
pub(crate) struct Request {}

/// What carries calls.
#[response]
pub(crate) struct Response {}

/// Tells what carries calls; nothing when the operator has set nothing.
pub(crate) async fn handle(
    app: Arc<App>,
    _caller: Session,
    _request: Request,
) -> Result<RawJson, Failure> {
    let answer = json!({ "rtc_transports": super::transports(&app) });
    Ok(RawJson(Bytes::from(answer.to_string())))
}

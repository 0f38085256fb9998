//! `GET /_matrix/client/*/thirdparty/protocol/{protocol}`

use std::sync::Arc;

use ruma::api::client::thirdparty::get_protocol::v3::{Request, Response};

use super::asking;
use crate::edge::{App, Failure, Session};

/// Describes a bridged protocol.
pub(crate) async fn handle(
    app: Arc<App>,
    _caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    let mut protocols = asking::protocols(&app, Some(request.protocol.as_str())).await;
    let described = protocols.remove(&request.protocol);
    let described = described.ok_or_else(|| Failure::not_found("unknown protocol"))?;
    Ok(Response::new(described))
}

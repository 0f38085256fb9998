//! `GET /_matrix/client/*/thirdparty/protocols`

use std::sync::Arc;

use ruma::api::client::thirdparty::get_protocols::v3::{Request, Response};

use super::asking;
use crate::edge::{App, Failure, Session};

/// Describes the bridged protocols.
pub(crate) async fn handle(
    app: Arc<App>,
    _caller: Session,
    _request: Request,
) -> Result<Response, Failure> {
    Ok(Response::new(asking::protocols(&app, None).await))
}

//! `POST /_matrix/client/*/logout`

use std::sync::Arc;

use ruma::api::client::session::logout::v3::{Request, Response};

use crate::edge::{App, Failure, Session};

/// Ends this session and its device.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    _request: Request,
) -> Result<Response, Failure> {
    app.house.logout(&caller.known).await?;
    Ok(Response::new())
}

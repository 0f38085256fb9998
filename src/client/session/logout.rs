//! `POST /_matrix/client/*/logout`

use std::sync::Arc;

use ruma::api::client::session::logout::v3::{Request, Response};

use crate::edge::{App, Failure, Leaver};

/// Ends this session and its device.
pub(crate) async fn handle(
    app: Arc<App>,
    Leaver(caller): Leaver,
    _request: Request,
) -> Result<Response, Failure> {
    app.house.logout(&caller.known).await?;
    Ok(Response::new())
}

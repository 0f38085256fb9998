//! `POST /_matrix/client/*/logout/all`

use std::sync::Arc;

use ruma::api::client::session::logout_all::v3::{Request, Response};

use crate::edge::{App, Failure, Leaver};

/// Ends all sessions of the caller and their devices.
pub(crate) async fn handle(
    app: Arc<App>,
    Leaver(caller): Leaver,
    _request: Request,
) -> Result<Response, Failure> {
    app.house.logout_all(&caller.user_id).await?;
    Ok(Response::new())
}

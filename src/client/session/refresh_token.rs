//! `POST /_matrix/client/*/refresh`

use std::{sync::Arc, time::Duration};

use ruma::api::client::session::refresh_token::v3::{Request, Response};

use crate::edge::{App, Failure};

/// Exchanges a refresh token for fresh tokens. The old one stays usable until one of the new ones is used.
pub(crate) async fn handle(
    app: Arc<App>,
    _caller: (),
    request: Request,
) -> Result<Response, Failure> {
    let session = app.house.refresh(&request.refresh_token).await?;
    let mut response = Response::new(session.access_token);
    response.refresh_token = session.refresh_token;
    response.expires_in_ms = session.expires_in_ms.map(Duration::from_millis);
    Ok(response)
}

//! `GET /_matrix/client/v1/media/config`

use std::sync::Arc;

use ruma::{
    UInt,
    api::client::authenticated_media::get_media_config::v1::{Request, Response},
};

use crate::edge::{App, Failure, Session};

/// Tells how large an upload may be.
pub(crate) async fn handle(
    app: Arc<App>,
    _caller: Session,
    _request: Request,
) -> Result<Response, Failure> {
    Ok(Response::new(UInt::new_saturating(
        app.blobs.size_bytes_max(),
    )))
}

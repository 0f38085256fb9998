//! `GET /_matrix/media/*/config`

#![expect(deprecated, reason = "old clients know nothing newer")]

use std::sync::Arc;

use ruma::{
    UInt,
    api::client::media::get_media_config::v3::{Request, Response},
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

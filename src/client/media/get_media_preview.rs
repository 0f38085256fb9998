//! `GET /_matrix/media/*/preview_url`

#![expect(deprecated, reason = "old clients know nothing newer")]

use std::sync::Arc;

use ruma::api::client::media::get_media_preview::v3::Request;

use super::preview;
use crate::edge::{App, Failure, RawJson, Session};

/// Tells what a link leads to.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<RawJson, Failure> {
    preview::of(&app, &caller, &request.url).await
}

//! `GET /_matrix/client/v1/media/preview_url`

use std::sync::Arc;

use ruma::api::client::authenticated_media::get_media_preview::v1::Request;

use crate::{
    client::media::preview,
    edge::{App, Failure, RawJson, Session},
};

/// Tells what a link leads to. The preferred time is ignored: there is one preview, a recent one.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<RawJson, Failure> {
    preview::of(&app, &caller, &request.url).await
}

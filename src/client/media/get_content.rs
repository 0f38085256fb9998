//! `GET /_matrix/media/*/download/{serverName}/{mediaId}`

#![expect(deprecated, reason = "old clients know nothing newer")]

use std::sync::Arc;

use ruma::api::client::media::get_content::v3::Request;

use crate::{
    client::media::serve::{self, Wanted},
    edge::{App, Failure, Prepared, Ranged},
};

/// Gives a piece of media.
pub(crate) async fn handle(
    app: Arc<App>,
    Ranged {
        range, sees_ends, ..
    }: Ranged<()>,
    request: Request,
) -> Result<Prepared, Failure> {
    serve::must_be_open(&app)?;
    serve::must_be_allowed(&app, &request.server_name, request.allow_remote)?;
    let wanted = Wanted {
        server_name: &request.server_name,
        media_id: &request.media_id,
        file_name: None,
        timeout: request.timeout_ms,
        range,
        sees_ends,
        redirect: request.allow_redirect,
    };
    serve::content(&app, wanted).await
}

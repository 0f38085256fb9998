//! `GET /_matrix/federation/v1/media/download/{mediaId}`

use std::sync::Arc;

use ruma::api::federation::authenticated_media::get_content::v1::Request;

use super::multipart;
use crate::{
    client::media::serve::{self, Wanted},
    edge::{App, Failure, Peer, Prepared},
};

/// Gives a piece of media.
pub(crate) async fn handle(
    app: Arc<App>,
    _peer: Peer,
    request: Request,
) -> Result<Prepared, Failure> {
    let wanted = Wanted {
        server_name: app.env().server_name(),
        media_id: &request.media_id,
        file_name: None,
        timeout: request.timeout_ms,
        range: None,
        sees_ends: false,
        redirect: false,
    };
    let uploaded = serve::find(&app, &wanted).await?;
    multipart::whole(&app, &uploaded).await
}

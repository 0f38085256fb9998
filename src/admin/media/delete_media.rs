//! `DELETE /_synapse/admin/v1/media/{serverName}/{mediaId}`

use std::sync::Arc;

use playhouse_actors::house::MediaName;
use ruma::{
    OwnedServerName, UInt,
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};

use crate::{
    admin::{media::must_be_local, only_administrators},
    client::media::removal,
    edge::{App, Failure, Session},
};

metadata! {
    method: DELETE,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_synapse/admin/v1/media/{server_name}/{media_id}",
}

/// Names a piece of media of this server.
#[request]
pub(crate) struct Request {
    /// This server.
    #[ruma_api(path)]
    pub(crate) server_name: OwnedServerName,
    /// Its ID.
    #[ruma_api(path)]
    pub(crate) media_id: String,
}

/// It is done.
#[response]
pub(crate) struct Response {
    /// Its ID.
    pub(crate) deleted_media: Vec<String>,
    /// One.
    pub(crate) total: UInt,
}

/// Deletes a piece of media for ever.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    only_administrators(&caller)?;
    must_be_local(&app, &request.server_name)?;
    let name = MediaName::new(&request.server_name, &request.media_id);
    removal::remove(&app, &name, caller.user_id.as_str()).await?;
    Ok(Response {
        deleted_media: vec![request.media_id],
        total: UInt::from(1_u32),
    })
}

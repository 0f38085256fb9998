//! `POST /_synapse/admin/v1/media/quarantine/{serverName}/{mediaId}`

use std::sync::Arc;

use playhouse_actors::house::MediaName;
use ruma::{
    OwnedServerName,
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};

use crate::{
    admin::only_administrators,
    edge::{App, Failure, Session},
};

metadata! {
    method: POST,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_synapse/admin/v1/media/quarantine/{server_name}/{media_id}",
}

/// Names a piece of media.
#[request]
pub(crate) struct Request {
    /// Whose it is.
    #[ruma_api(path)]
    pub(crate) server_name: OwnedServerName,
    /// Its ID there.
    #[ruma_api(path)]
    pub(crate) media_id: String,
}

/// It is done.
#[response]
pub(crate) struct Response {}

/// Puts a piece of media away: nobody is given it any more, nor what has the same content.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    only_administrators(&caller)?;
    let name = MediaName::new(&request.server_name, &request.media_id);
    app.house.quarantine_media(&name, &caller.user_id).await?;
    Ok(Response {})
}

//! `POST /_synapse/admin/v1/media/unprotect/{mediaId}`

use std::sync::Arc;

use playhouse_actors::{house::HouseError, media::MediaCommand};
use ruma::{
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
    path: "/_synapse/admin/v1/media/unprotect/{media_id}",
}

/// Names a piece of media of this server.
#[request]
pub(crate) struct Request {
    /// Its ID.
    #[ruma_api(path)]
    pub(crate) media_id: String,
}

/// It is done.
#[response]
pub(crate) struct Response {}

/// Lets a piece of media of this server be put away again.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    only_administrators(&caller)?;
    let command = MediaCommand::Protect {
        on: false,
        by: caller.user_id.to_string(),
    };
    let done = app.house.media_command(&request.media_id, command).await;
    done.map_err(HouseError::from)?;
    Ok(Response {})
}

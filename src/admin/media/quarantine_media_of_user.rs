//! `POST /_synapse/admin/v1/user/{userId}/media/quarantine`

use std::sync::Arc;

use ruma::{
    OwnedUserId, UInt,
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
    path: "/_synapse/admin/v1/user/{user_id}/media/quarantine",
}

/// Names a user of this server.
#[request]
pub(crate) struct Request {
    /// Who.
    #[ruma_api(path)]
    pub(crate) user_id: OwnedUserId,
}

/// It is done.
#[response]
pub(crate) struct Response {
    /// So many pieces were given out before.
    pub(crate) num_quarantined: UInt,
}

/// Puts away all media that a user has uploaded, but for what is protected.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    only_administrators(&caller)?;
    let done = app
        .house
        .quarantine_media_of_user(&request.user_id, &caller.user_id);
    Ok(Response {
        num_quarantined: UInt::new_saturating(done.await?),
    })
}

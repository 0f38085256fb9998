//! `GET /_synapse/admin/v1/users/{user_id}/memberships`

use std::{collections::BTreeMap, sync::Arc};

use ruma::{
    OwnedUserId,
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};

use crate::{
    admin::only_administrators,
    edge::{App, Failure, Session},
};

metadata! {
    method: GET,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_synapse/admin/v1/users/{user_id}/memberships",
}

/// Asks how a user stands to rooms.
#[request]
pub(crate) struct Request {
    /// Whose; of whichever server.
    #[ruma_api(path)]
    pub(crate) user_id: OwnedUserId,
}

/// How the user stands to them.
#[response]
pub(crate) struct Response {
    /// `join`, `invite`, `leave`, `ban` or `knock`, by room.
    pub(crate) memberships: BTreeMap<String, String>,
}

/// Tells an administrator how a user stands to each room that is known here.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    only_administrators(&caller)?;
    let known = app.house.memberships_of(&request.user_id).await?;
    let by_room = known.into_iter().map(|one| (one.room_id, one.membership));
    Ok(Response {
        memberships: by_room.collect(),
    })
}

//! `GET /_synapse/admin/v2/rooms/delete_status/{deleteId}` and `GET /_synapse/admin/v2/rooms/{roomId}/delete_status`

use std::sync::Arc;

use ruma::{
    OwnedRoomId,
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};

use super::{Progress, Shown};
use crate::{
    admin::only_administrators,
    edge::{App, Failure, Session},
};

metadata! {
    method: GET,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_synapse/admin/v2/rooms/delete_status/{delete_id}",
}

/// Names a deletion.
#[request]
pub(crate) struct Request {
    /// As it was told when it began.
    #[ruma_api(path)]
    pub(crate) delete_id: String,
}

/// How it stands.
#[response]
pub(crate) struct Response {
    /// All of it.
    #[ruma_api(body)]
    pub(crate) shown: Shown,
}

/// Tells how a deletion stands.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    only_administrators(&caller)?;
    let standing = app.house.deletion(&request.delete_id).await?;
    let mut shown = Shown::of(standing, app.house.env().now_ms());
    let progress = app.house.purge_progress(&request.delete_id).await?;
    shown.progress = progress.map(Progress::from);
    Ok(Response { shown })
}

/// All deletions of a room.
pub(crate) mod of_room {
    use super::{
        AccessToken, App, Arc, Failure, OwnedRoomId, Session, Shown, metadata, only_administrators,
        request, response,
    };

    metadata! {
        method: GET,
        rate_limited: false,
        authentication: AccessToken,
        path: "/_synapse/admin/v2/rooms/{room_id}/delete_status",
    }

    /// Names a room.
    #[request]
    pub(crate) struct Request {
        /// The room.
        #[ruma_api(path)]
        pub(crate) room_id: OwnedRoomId,
    }

    /// How they stand.
    #[response]
    pub(crate) struct Response {
        /// The oldest first.
        pub(crate) results: Vec<Shown>,
    }

    /// Tells how all deletions of a room stand that are remembered.
    pub(crate) async fn handle(
        app: Arc<App>,
        caller: Session,
        request: Request,
    ) -> Result<Response, Failure> {
        only_administrators(&caller)?;
        let found = app.house.deletions_of(&request.room_id).await?;
        if found.is_empty() {
            return Err(Failure::not_found("no deletion of this room is known"));
        }
        let now_ms = app.house.env().now_ms();
        let results = found.into_iter().map(|one| Shown::of(one, now_ms));
        Ok(Response {
            results: results.collect(),
        })
    }
}

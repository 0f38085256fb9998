//! `DELETE /_matrix/client/unstable/org.matrix.msc3391/user/{userId}/account_data/{type}`, and the same for a room
//!
//! What was deleted is not found any more, and a sync tells of it by an empty content. Writing `{}` by hand stays what it is in the specification: a value.

use std::sync::Arc;

use ruma::{
    OwnedRoomId, OwnedUserId,
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};

use crate::{
    client::{empty, must_be_own},
    edge::{App, Failure, RawJson, Session},
};

metadata! {
    method: DELETE,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_matrix/client/unstable/org.matrix.msc3391/user/{user_id}/account_data/{event_type}",
}

/// Which account data to delete.
#[request]
pub(crate) struct Request {
    /// Whose.
    #[ruma_api(path)]
    pub(crate) user_id: OwnedUserId,
    /// Of which type.
    #[ruma_api(path)]
    pub(crate) event_type: String,
}

/// It is gone.
#[response]
pub(crate) struct Response {}

/// The same for a room.
pub(crate) mod of_room {
    use super::{AccessToken, OwnedRoomId, OwnedUserId, metadata, request, response};

    metadata! {
        method: DELETE,
        rate_limited: false,
        authentication: AccessToken,
        path: "/_matrix/client/unstable/org.matrix.msc3391/user/{user_id}/rooms/{room_id}/account_data/{event_type}",
    }

    /// Which account data to delete.
    #[request]
    pub(crate) struct Request {
        /// Whose.
        #[ruma_api(path)]
        pub(crate) user_id: OwnedUserId,
        /// Of which room.
        #[ruma_api(path)]
        pub(crate) room_id: OwnedRoomId,
        /// Of which type.
        #[ruma_api(path)]
        pub(crate) event_type: String,
    }

    /// It is gone.
    #[response]
    pub(crate) struct Response {}
}

/// Deletes one piece of the caller's global account data.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<RawJson, Failure> {
    must_be_own(&caller, &request.user_id)?;
    super::delete(&app, &caller.user_id, None, request.event_type).await?;
    Ok(empty())
}

/// Deletes one piece of the caller's account data of a room.
pub(crate) async fn handle_of_room(
    app: Arc<App>,
    caller: Session,
    request: of_room::Request,
) -> Result<RawJson, Failure> {
    must_be_own(&caller, &request.user_id)?;
    let room_id = Some(request.room_id);
    super::delete(&app, &caller.user_id, room_id, request.event_type).await?;
    Ok(empty())
}

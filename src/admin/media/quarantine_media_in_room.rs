//! `POST /_synapse/admin/v1/room/{roomId}/media/quarantine`, and its older path

use std::sync::Arc;

use ruma::{
    OwnedRoomId, RoomId, UInt,
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
    path: "/_synapse/admin/v1/room/{room_id}/media/quarantine",
}

/// Names a room.
#[request]
pub(crate) struct Request {
    /// Which.
    #[ruma_api(path)]
    pub(crate) room_id: OwnedRoomId,
}

/// It is done.
#[response]
pub(crate) struct Response {
    /// So many pieces were given out before.
    pub(crate) num_quarantined: UInt,
}

/// Puts away all media to which events of a room point, but for what is protected. What stands in encrypted events cannot be seen.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    Ok(Response {
        num_quarantined: put_away(&app, &caller, &request.room_id).await?,
    })
}

async fn put_away(app: &App, caller: &Session, room_id: &RoomId) -> Result<UInt, Failure> {
    only_administrators(caller)?;
    let done = app.house.quarantine_media_in_room(room_id, &caller.user_id);
    Ok(UInt::new_saturating(done.await?))
}

/// The older path.
pub(crate) mod old {
    use super::{
        AccessToken, App, Arc, Failure, OwnedRoomId, Session, UInt, metadata, put_away, request,
        response,
    };

    metadata! {
        method: POST,
        rate_limited: false,
        authentication: AccessToken,
        path: "/_synapse/admin/v1/quarantine_media/{room_id}",
    }

    /// Names a room.
    #[request]
    pub(crate) struct Request {
        /// Which.
        #[ruma_api(path)]
        pub(crate) room_id: OwnedRoomId,
    }

    /// It is done.
    #[response]
    pub(crate) struct Response {
        /// So many pieces were given out before.
        pub(crate) num_quarantined: UInt,
    }

    /// The same.
    pub(crate) async fn handle(
        app: Arc<App>,
        caller: Session,
        request: Request,
    ) -> Result<Response, Failure> {
        Ok(Response {
            num_quarantined: put_away(&app, &caller, &request.room_id).await?,
        })
    }
}

//! `GET` and `PUT /_synapse/admin/v1/rooms/{roomId}/block`

use std::sync::Arc;

use ruma::{
    OwnedRoomId,
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};

use crate::{
    admin::only_administrators,
    edge::{App, Failure, Session},
};

metadata! {
    method: PUT,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_synapse/admin/v1/rooms/{room_id}/block",
}

/// Says whether a room is wanted.
#[request]
pub(crate) struct Request {
    /// The room; it need not be here.
    #[ruma_api(path)]
    pub(crate) room_id: OwnedRoomId,
    /// Nobody of this server comes in.
    pub(crate) block: bool,
}

/// It is so.
#[response]
pub(crate) struct Response {
    /// As it was said.
    pub(crate) block: bool,
}

/// Keeps a room out, or no more.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    only_administrators(&caller)?;
    let Request { room_id, block } = request;
    app.house
        .set_room_block(&room_id, &caller.user_id, block)
        .await?;
    Ok(Response { block })
}

/// Whether a room is kept out.
pub(crate) mod look {
    use super::{
        AccessToken, App, Arc, Failure, OwnedRoomId, Session, metadata, only_administrators,
        request, response,
    };

    metadata! {
        method: GET,
        rate_limited: false,
        authentication: AccessToken,
        path: "/_synapse/admin/v1/rooms/{room_id}/block",
    }

    /// Names a room.
    #[request]
    pub(crate) struct Request {
        /// The room.
        #[ruma_api(path)]
        pub(crate) room_id: OwnedRoomId,
    }

    /// Whether it is kept out.
    #[response]
    pub(crate) struct Response {
        /// It is.
        pub(crate) block: bool,
        /// Who wanted that.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub(crate) user_id: Option<String>,
    }

    /// Tells whether a room is kept out, and who wanted that.
    pub(crate) async fn handle(
        app: Arc<App>,
        caller: Session,
        request: Request,
    ) -> Result<Response, Failure> {
        only_administrators(&caller)?;
        let user_id = app.house.room_block(&request.room_id).await?;
        Ok(Response {
            block: user_id.is_some(),
            user_id,
        })
    }
}

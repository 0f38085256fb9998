//! `DELETE /_synapse/admin/v2/rooms/{roomId}`, and the first version of it, which answers when it is done

use std::sync::Arc;

use playhouse_actors::house::DeletionWish;
use ruma::{
    OwnedRoomId, OwnedUserId,
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};
use serde::Deserialize;

use crate::{
    admin::only_administrators,
    edge::{App, Failure, Session},
};

metadata! {
    method: DELETE,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_synapse/admin/v2/rooms/{room_id}",
}

/// How a room is to be deleted.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Wished {
    /// Nobody of this server comes in any more.
    #[serde(default)]
    pub(crate) block: bool,
    /// The room's data goes, too.
    #[serde(default = "yes")]
    pub(crate) purge: bool,
    /// Also when somebody could not be made to leave.
    #[serde(default)]
    pub(crate) force_purge: bool,
    /// Who makes a room for the members to come into.
    pub(crate) new_room_user_id: Option<OwnedUserId>,
    /// The name of that room.
    pub(crate) room_name: Option<String>,
    /// What is said in that room.
    pub(crate) message: Option<String>,
}

/// Says how a room is to be deleted.
#[request]
pub(crate) struct Request {
    /// The room.
    #[ruma_api(path)]
    pub(crate) room_id: OwnedRoomId,
    /// How.
    #[ruma_api(body)]
    pub(crate) wished: Wished,
}

/// It has begun.
#[response]
pub(crate) struct Response {
    /// By which to ask how it stands.
    pub(crate) delete_id: String,
}

fn yes() -> bool {
    true
}

async fn begin(
    app: &App,
    caller: &Session,
    (room_id, wished): (OwnedRoomId, Wished),
) -> Result<String, Failure> {
    only_administrators(caller)?;
    let wish = DeletionWish {
        room_id,
        block: wished.block,
        purge: wished.purge,
        force_purge: wished.force_purge,
        new_room_user_id: wished.new_room_user_id,
        room_name: wished.room_name,
        message: wished.message,
    };
    Ok(app.house.begin_deletion(wish, &caller.user_id).await?)
}

/// Begins to delete a room.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    let delete_id = begin(&app, &caller, (request.room_id, request.wished)).await?;
    Ok(Response { delete_id })
}

/// Answered when it is done.
pub(crate) mod at_once {
    use playhouse_actors::purges::DeletionState;
    use ruma::api::error::ErrorCode;

    use super::{
        super::ShutDown, AccessToken, App, Arc, Failure, OwnedRoomId, Session, Wished, begin,
        metadata, request, response,
    };

    metadata! {
        method: DELETE,
        rate_limited: false,
        authentication: AccessToken,
        path: "/_synapse/admin/v1/rooms/{room_id}",
    }

    /// Says how a room is to be deleted.
    #[request]
    pub(crate) struct Request {
        /// The room.
        #[ruma_api(path)]
        pub(crate) room_id: OwnedRoomId,
        /// How.
        #[ruma_api(body)]
        pub(crate) wished: Wished,
    }

    /// It is done.
    #[response]
    pub(crate) struct Response {
        /// What became of its members and names.
        #[ruma_api(body)]
        pub(crate) done: ShutDown,
    }

    /// Deletes a room.
    pub(crate) async fn handle(
        app: Arc<App>,
        caller: Session,
        request: Request,
    ) -> Result<Response, Failure> {
        let delete_id = begin(&app, &caller, (request.room_id, request.wished)).await?;
        let standing = app.house.deletion_ended(&delete_id).await?;
        if standing.state(0) == DeletionState::Failed {
            let error = standing.ended.and_then(|ended| ended.error);
            let error = error.unwrap_or_else(|| "it failed".to_owned());
            return Err(Failure::new(ErrorCode::Unknown, error));
        }
        Ok(Response {
            done: ShutDown::of(standing),
        })
    }
}

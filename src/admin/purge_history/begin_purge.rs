//! `POST /_synapse/admin/v1/purge_history/{roomId}`, and with an event in the path

use std::sync::Arc;

use playhouse_actors::house::{PurgeEnd, PurgeWish};
use ruma::{
    OwnedEventId, OwnedRoomId, UInt,
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
    path: "/_synapse/admin/v1/purge_history/{room_id}",
}

/// Says what is to go.
#[request]
pub(crate) struct Request {
    /// The room.
    #[ruma_api(path)]
    pub(crate) room_id: OwnedRoomId,
    /// What is older than this event.
    pub(crate) purge_up_to_event_id: Option<OwnedEventId>,
    /// What came here before this time.
    pub(crate) purge_up_to_ts: Option<UInt>,
    /// Events of this server's users too.
    #[serde(default)]
    pub(crate) delete_local_events: bool,
}

/// It has begun.
#[response]
pub(crate) struct Response {
    /// By which to ask how it stands.
    pub(crate) purge_id: String,
}

/// Begins to take history out of a room.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    only_administrators(&caller)?;
    let up_to = match (request.purge_up_to_event_id, request.purge_up_to_ts) {
        (Some(event_id), _) => PurgeEnd::Event(event_id),
        (None, Some(at)) => PurgeEnd::Time(at.into()),
        (None, None) => {
            return Err(Failure::bad_json(
                "purge_up_to_event_id or purge_up_to_ts is needed",
            ));
        }
    };
    let wish = PurgeWish {
        room_id: request.room_id,
        up_to,
        local_too: request.delete_local_events,
    };
    begin(&app, &caller, wish).await
}

async fn begin(app: &App, caller: &Session, wish: PurgeWish) -> Result<Response, Failure> {
    Ok(Response {
        purge_id: app.house.begin_purge(wish, &caller.user_id).await?,
    })
}

/// With the event in the path.
pub(crate) mod up_to_event {
    use super::{
        AccessToken, App, Arc, Failure, OwnedEventId, OwnedRoomId, PurgeEnd, PurgeWish, Session,
        begin, metadata, only_administrators, request, response,
    };

    metadata! {
        method: POST,
        rate_limited: false,
        authentication: AccessToken,
        path: "/_synapse/admin/v1/purge_history/{room_id}/{event_id}",
    }

    /// Says what is to go.
    #[request]
    pub(crate) struct Request {
        /// The room.
        #[ruma_api(path)]
        pub(crate) room_id: OwnedRoomId,
        /// What is older than this event.
        #[ruma_api(path)]
        pub(crate) event_id: OwnedEventId,
        /// Events of this server's users too.
        #[serde(default)]
        pub(crate) delete_local_events: bool,
    }

    /// It has begun.
    #[response]
    pub(crate) struct Response {
        /// By which to ask how it stands.
        pub(crate) purge_id: String,
    }

    /// Begins to take history out of a room.
    pub(crate) async fn handle(
        app: Arc<App>,
        caller: Session,
        request: Request,
    ) -> Result<Response, Failure> {
        only_administrators(&caller)?;
        let wish = PurgeWish {
            room_id: request.room_id,
            up_to: PurgeEnd::Event(request.event_id),
            local_too: request.delete_local_events,
        };
        let begun = begin(&app, &caller, wish).await?;
        Ok(Response {
            purge_id: begun.purge_id,
        })
    }
}

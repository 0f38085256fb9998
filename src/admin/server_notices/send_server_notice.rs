//! `POST /_synapse/admin/v1/send_server_notice`, and `PUT` with a transaction in the path

use std::sync::Arc;

use playhouse_actors::house::Notice;
use ruma::{
    OwnedEventId, OwnedUserId,
    api::{auth_scheme::AccessToken, request, response},
    events::TimelineEventType,
    metadata,
};
use serde_json::{Map, Value};

use crate::{
    admin::only_administrators,
    edge::{App, Failure, Session},
};

metadata! {
    method: POST,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_synapse/admin/v1/send_server_notice",
}

/// Says what is to be told to whom.
#[request]
pub(crate) struct Request {
    /// To whom.
    pub(crate) user_id: OwnedUserId,
    /// The content of the event.
    pub(crate) content: Map<String, Value>,
    /// The type of the event.
    #[serde(rename = "type", default = "message")]
    pub(crate) event_type: TimelineEventType,
    /// The state key of a state event.
    pub(crate) state_key: Option<String>,
}

/// It is told.
#[response]
pub(crate) struct Response {
    /// The event.
    pub(crate) event_id: OwnedEventId,
}

fn message() -> TimelineEventType {
    TimelineEventType::RoomMessage
}

/// Tells a user something.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    only_administrators(&caller)?;
    let notice = Notice {
        user_id: request.user_id,
        event_type: request.event_type,
        state_key: request.state_key,
        content: Value::Object(request.content).to_string(),
        transaction_id: None,
    };
    let event_id = app.house.send_notice(notice).await?;
    Ok(Response { event_id })
}

/// Once for each transaction.
pub(crate) mod once {
    use super::{
        AccessToken, App, Arc, Failure, Map, Notice, OwnedEventId, OwnedUserId, Session,
        TimelineEventType, Value, message, metadata, only_administrators, request, response,
    };

    metadata! {
        method: PUT,
        rate_limited: false,
        authentication: AccessToken,
        path: "/_synapse/admin/v1/send_server_notice/{txn_id}",
    }

    /// Says what is to be told to whom.
    #[request]
    pub(crate) struct Request {
        /// What makes a repeat known as one.
        #[ruma_api(path)]
        pub(crate) txn_id: String,
        /// To whom.
        pub(crate) user_id: OwnedUserId,
        /// The content of the event.
        pub(crate) content: Map<String, Value>,
        /// The type of the event.
        #[serde(rename = "type", default = "message")]
        pub(crate) event_type: TimelineEventType,
        /// The state key of a state event.
        pub(crate) state_key: Option<String>,
    }

    /// It is told.
    #[response]
    pub(crate) struct Response {
        /// The event.
        pub(crate) event_id: OwnedEventId,
    }

    /// Tells a user something; a repeat is answered as the first time.
    pub(crate) async fn handle(
        app: Arc<App>,
        caller: Session,
        request: Request,
    ) -> Result<Response, Failure> {
        only_administrators(&caller)?;
        let notice = Notice {
            user_id: request.user_id,
            event_type: request.event_type,
            state_key: request.state_key,
            content: Value::Object(request.content).to_string(),
            transaction_id: Some(format!("{}/{}", caller.user_id, request.txn_id)),
        };
        let event_id = app.house.send_notice(notice).await?;
        Ok(Response { event_id })
    }
}

//! `POST /_synapse/admin/v1/send_server_notice`, and `PUT` with a transaction in the path

use std::sync::Arc;

use playhouse_actors::house::Notice;
use ruma::{
    OwnedEventId, OwnedUserId,
    api::{auth_scheme::AccessToken, request, response},
    events::TimelineEventType,
    metadata,
};
use serde::Deserialize;
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

/// What is to be told to whom.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Told {
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

/// Says what is to be told to whom.
#[request]
pub(crate) struct Request {
    /// All of it.
    #[ruma_api(body)]
    pub(crate) told: Told,
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

async fn tell(
    app: &App,
    caller: &Session,
    (told, transaction_id): (Told, Option<String>),
) -> Result<Response, Failure> {
    only_administrators(caller)?;
    let notice = Notice {
        user_id: told.user_id,
        event_type: told.event_type,
        state_key: told.state_key,
        content: Value::Object(told.content).to_string(),
        transaction_id,
    };
    let event_id = app.house.send_notice(notice).await?;
    Ok(Response { event_id })
}

/// Tells a user something.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    tell(&app, &caller, (request.told, None)).await
}

/// Once for each transaction.
pub(crate) mod once {
    use super::{AccessToken, App, Arc, Failure, Response, Session, Told, metadata, request, tell};

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
        /// All of it.
        #[ruma_api(body)]
        pub(crate) told: Told,
    }

    /// Tells a user something; a repeat is answered as the first time.
    pub(crate) async fn handle(
        app: Arc<App>,
        caller: Session,
        request: Request,
    ) -> Result<Response, Failure> {
        let transaction_id = format!("{}/{}", caller.user_id, request.txn_id);
        tell(&app, &caller, (request.told, Some(transaction_id))).await
    }
}

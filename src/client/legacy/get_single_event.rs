//! `GET /_matrix/client/*/events/{eventId}`

use std::sync::Arc;

use ruma::{
    OwnedEventId,
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};

use crate::{
    client::reader,
    edge::{App, Failure, RawJson, Session},
};

metadata! {
    method: GET,
    rate_limited: false,
    authentication: AccessToken,
    history: {
        1.0 => "/_matrix/client/r0/events/{event_id}",
        1.1 => "/_matrix/client/v3/events/{event_id}",
    }
}

/// Names an event in whichever room.
#[request]
pub(crate) struct Request {
    /// The event.
    #[ruma_api(path)]
    pub(crate) event_id: OwnedEventId,
}

/// The answer, which is written by hand.
#[response]
pub(crate) struct Response {}

/// Gives an event that the caller may see, wherever it is.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<RawJson, Failure> {
    let event = app
        .house
        .event_anywhere(reader(&caller), &request.event_id)
        .await?;
    Ok(RawJson(event))
}

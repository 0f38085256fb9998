//! `GET /_synapse/admin/v1/fetch_event/{event_id}`

use std::sync::Arc;

use ruma::{
    OwnedEventId,
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};

use crate::{
    admin::only_administrators,
    client::page,
    edge::{App, Failure, RawJson, Session},
};

metadata! {
    method: GET,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_synapse/admin/v1/fetch_event/{event_id}",
}

/// Names an event.
#[request]
pub(crate) struct Request {
    /// The event.
    #[ruma_api(path)]
    pub(crate) event_id: OwnedEventId,
}

/// The event; written by hand.
#[response]
pub(crate) struct Response {}

/// Shows an administrator an event as servers exchange it, whoever may see it.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<RawJson, Failure> {
    only_administrators(&caller)?;
    let event = app.house.event_as_sent(&request.event_id).await?;
    Ok(page::Object::new().raw("event", &event).finish())
}

//! `GET /_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device/{device_id}/events`

use std::sync::Arc;

use crate::{
    client::page,
    edge::{App, Failure, RawJson, Session},
};
use bytes::Bytes;
use playhouse_actors::user::message::ToDeviceIndex;
use ruma::{
    DeviceId, OwnedDeviceId,
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};
metadata! {
    method: GET,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device/{device_id}/events",
}

/// Asks with a query.
#[request]
pub(crate) struct Request {
    /// The dehydrated device.
    #[ruma_api(path)]
    pub(crate) device_id: OwnedDeviceId,
    /// What the last answer said.
    #[ruma_api(query)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_batch: Option<String>,
}

/// The answer, which is written by hand.
#[response]
pub(crate) struct Response {}

/// The same by another method.
pub(crate) mod by_post {
    use super::{
        AccessToken, App, Arc, Failure, OwnedDeviceId, RawJson, Response, Session, answer,
        metadata, request,
    };

    metadata! {
        method: POST,
        rate_limited: false,
        authentication: AccessToken,
        path: "/_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device/{device_id}/events",
    }

    /// Asks with a body.
    #[request]
    pub(crate) struct Request {
        /// The dehydrated device.
        #[ruma_api(path)]
        pub(crate) device_id: OwnedDeviceId,
        /// What the last answer said.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub(crate) next_batch: Option<String>,
    }

    /// Gives what the dehydrated device collected, some at a time.
    pub(crate) async fn handle(
        app: Arc<App>,
        caller: Session,
        request: Request,
    ) -> Result<RawJson, Failure> {
        answer(&app, &caller, &request.device_id, request.next_batch).await
    }
}

/// Reads a `next_batch`.
fn read(token: &str) -> Option<ToDeviceIndex> {
    let (sequence, partial) = token.strip_prefix('d')?.split_once('_')?;
    Some(ToDeviceIndex {
        sequence: sequence.parse().ok()?,
        partial: partial.parse().ok()?,
    })
}

/// Gives what the dehydrated device collected, some at a time. Clients ask by `GET` or by `POST`.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<RawJson, Failure> {
    answer(&app, &caller, &request.device_id, request.next_batch).await
}

async fn answer(
    app: &App,
    caller: &Session,
    device_id: &DeviceId,
    next_batch: Option<String>,
) -> Result<RawJson, Failure> {
    let after = match next_batch.filter(|token| !token.is_empty()) {
        Some(token) => read(&token)
            .ok_or_else(|| Failure::invalid_param("next_batch is not one of this server"))?,
        None => ToDeviceIndex::default(),
    };
    let (messages, next) = app
        .house
        .dehydrated_events(&caller.user_id, device_id, after)
        .await?;
    let messages: Vec<_> = messages.into_iter().map(Bytes::from).collect();
    let next = format!("d{}_{}", next.sequence, next.partial);
    Ok(page::Object::new()
        .array("events", &messages)
        .text("next_batch", &next)
        .finish())
}

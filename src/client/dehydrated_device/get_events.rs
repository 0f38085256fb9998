//! `GET /_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device/{device_id}/events`

use std::sync::Arc;

use bytes::Bytes;
use playhouse_actors::user::message::ToDeviceIndex;
use ruma::OwnedDeviceId;
use ruma::{
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};
use serde::Deserialize;

use crate::{
    client::{page, query::parameter},
    edge::{App, Arguments, Failure, RawJson, Session},
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
}

/// The answer, which is written by hand.
#[response]
pub(crate) struct Response {}

/// The same by another method.
pub(crate) mod by_post {
    use super::{AccessToken, OwnedDeviceId, Response, metadata, request};

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
    }
}

#[derive(Default, Deserialize)]
struct Body {
    next_batch: Option<String>,
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
    arguments: Arguments,
) -> Result<RawJson, Failure> {
    let body: Body = match arguments.body.as_ref() {
        b"" => Body::default(),
        body => serde_json::from_slice(body)?,
    };
    let token = body
        .next_batch
        .or_else(|| parameter(arguments.query.as_deref(), "next_batch"));
    let after = match token.filter(|token| !token.is_empty()) {
        Some(token) => read(&token)
            .ok_or_else(|| Failure::invalid_param("next_batch is not one of this server"))?,
        None => ToDeviceIndex::default(),
    };
    let device_id = arguments.path.first().map_or("", String::as_str);
    let (messages, next) = app
        .house
        .dehydrated_events(&caller.user_id, device_id.into(), after)
        .await?;
    let messages: Vec<_> = messages.into_iter().map(Bytes::from).collect();
    let next = format!("d{}_{}", next.sequence, next.partial);
    Ok(page::Object::new()
        .array("events", &messages)
        .text("next_batch", &next)
        .finish())
}

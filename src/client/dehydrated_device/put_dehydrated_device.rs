//! `PUT /_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device`

use std::sync::Arc;

use indexmap::IndexMap;
use playhouse_actors::user::message::{SetDehydratedDevice, UploadKeys};
use ruma::OwnedDeviceId;
use ruma::{
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::named;
use crate::edge::{App, Arguments, Failure, RawJson, Session};
metadata! {
    method: PUT,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device",
}

/// Puts a dehydrated device in the place of the one there was, with all its keys at once.
#[request]
pub(crate) struct Request {}

/// The answer, which is written by hand.
#[response]
pub(crate) struct Response {}

/// The body. Read here so that keys stay as they were signed, in the order in which they were sent.
#[derive(Deserialize)]
struct Body {
    device_id: OwnedDeviceId,
    initial_device_display_name: Option<String>,
    device_data: Box<RawValue>,
    device_keys: Box<RawValue>,
    #[serde(default)]
    one_time_keys: IndexMap<String, Box<RawValue>>,
    #[serde(default)]
    fallback_keys: IndexMap<String, Box<RawValue>>,
}

/// Puts a dehydrated device in the place of the one there was, with all its keys at once.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    arguments: Arguments,
) -> Result<RawJson, Failure> {
    let body: Body = serde_json::from_slice(&arguments.body)?;
    let device_id = body.device_id;
    let keys = |keys: IndexMap<String, Box<RawValue>>| {
        keys.into_iter()
            .map(|(key_id, key)| (key_id, key.get().to_owned()))
            .collect()
    };
    let device = SetDehydratedDevice {
        display_name: body.initial_device_display_name,
        data: body.device_data.get().to_owned(),
        keys: UploadKeys {
            device_id: device_id.clone(),
            device_keys: Some(body.device_keys.get().to_owned()),
            one_time_keys: keys(body.one_time_keys),
            fallback_keys: keys(body.fallback_keys),
        },
    };
    app.house
        .set_dehydrated_device(&caller.user_id, device)
        .await?;
    Ok(named(&device_id))
}

//! `GET /_matrix/federation/v1/user/devices/{userId}`

use std::sync::Arc;

use bytes::Bytes;
use playhouse_actors::room::message::JsonText;
use ruma::{DeviceId, api::federation::device::get_devices::v1::Request};
use serde::Deserialize;

use crate::{
    client::page::Object,
    edge::{App, Failure, Peer, RawJson},
};

/// Tells the devices of a user with their keys, and which state of the list this is.
pub(crate) async fn handle(
    app: Arc<App>,
    _peer: Peer,
    request: Request,
) -> Result<RawJson, Failure> {
    let user_id = &request.user_id;
    if !app.house.is_local(user_id.server_name()) {
        return Err(Failure::invalid_param("this user is not of this server"));
    }
    let list = app.house.devices_for_peer(user_id).await?;
    let devices = list.keys.devices.iter();
    let devices: Vec<_> = devices
        .map(|(device_id, keys)| device(device_id, keys))
        .collect();
    let mut answer = Object::new()
        .text("user_id", user_id.as_str())
        .raw("stream_id", list.stream_id.to_string().as_bytes())
        .array("devices", &devices);
    if let Some(key) = &list.keys.master {
        answer = answer.raw("master_key", key.as_bytes());
    }
    if let Some(key) = &list.keys.self_signing {
        answer = answer.raw("self_signing_key", key.as_bytes());
    }
    Ok(answer.finish())
}

fn device(device_id: &DeviceId, keys: &JsonText) -> Bytes {
    let device = Object::new()
        .text("device_id", device_id.as_str())
        .maybe_text("device_display_name", name(keys).as_deref())
        .raw("keys", keys.as_bytes());
    device.finish().0
}

fn name(keys: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Keys {
        unsigned: Unsigned,
    }
    #[derive(Deserialize)]
    struct Unsigned {
        device_display_name: String,
    }
    let keys: Keys = serde_json::from_str(keys).ok()?;
    Some(keys.unsigned.device_display_name)
}

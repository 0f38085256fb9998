//! The dehydrated device (MSC3814, unstable).

mod delete_dehydrated_device;
mod get_dehydrated_device;
mod get_events;
mod put_dehydrated_device;

use bytes::Bytes;
use ruma::DeviceId;
use serde_json::json;

use crate::edge::{RawJson, Routes};

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes.mount_fast::<put_dehydrated_device::Request, _, _, _, _>(put_dehydrated_device::handle);
    routes.mount_fast::<get_dehydrated_device::Request, _, _, _, _>(get_dehydrated_device::handle);
    routes.mount_fast::<delete_dehydrated_device::Request, _, _, _, _>(
        delete_dehydrated_device::handle,
    );
    routes.mount_raw::<get_events::by_post::Request, _, _, _, _>(get_events::by_post::handle);
    routes.mount_raw::<get_events::Request, _, _, _, _>(get_events::handle);
}

fn named(device_id: &DeviceId) -> RawJson {
    let answer = json!({ "device_id": device_id });
    RawJson(Bytes::from(answer.to_string()))
}

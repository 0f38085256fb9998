//! The caller's devices.

mod delete_device;
mod delete_devices;
mod get_device;
mod get_devices;
mod update_device;

use playhouse_actors::user::message;
use ruma::{MilliSecondsSinceUnixEpoch, UInt, api::client::device::Device};

use crate::edge::Routes;

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes.mount(get_devices::handle).guests();
    routes.mount(get_device::handle).guests();
    routes.mount(update_device::handle).guests();
    routes.mount(delete_device::handle);
    routes.mount(delete_devices::handle);
}

/// A device as its owner sees it.
fn shown(device: message::Device) -> Device {
    let mut shown = Device::new(device.device_id);
    shown.display_name = device.display_name;
    shown.last_seen_ip = device.last_seen_address;
    shown.last_seen_ts = device
        .last_seen_ms
        .and_then(UInt::new)
        .map(MilliSecondsSinceUnixEpoch);
    shown
}

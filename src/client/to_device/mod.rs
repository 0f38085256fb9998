//! Messages from device to device.

mod send_event_to_device;

use ruma::api::client::to_device::send_event_to_device::v3;

use crate::edge::{Class, Routes};

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes
        .mount_fast::<v3::Request, _, _, _, _>(send_event_to_device::handle)
        .guests()
        .class(Class::Message);
}

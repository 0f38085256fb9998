//! Devices of users.

mod get_devices;

use ruma::api::federation::device::get_devices::v1::Request as Devices;

use crate::edge::Routes;

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes.mount_peer_raw::<Devices, _, _, _>(get_devices::handle);
}

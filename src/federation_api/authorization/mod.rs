//! What authorises events.

mod get_event_authorization;

use ruma::api::federation::authorization::get_event_authorization::v1::Request as EventAuth;

use crate::edge::Routes;

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes.mount_peer_raw::<EventAuth, _, _, _>(get_event_authorization::handle);
}
